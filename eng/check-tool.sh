#!/usr/bin/env bash
# Packs glmtune as a .NET tool for this platform, installs it in a temporary folder and uses it: version, doctor, two
# steps of training, one answer. Built output of `dotnet build -c Release` is reused.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DOTNET_CLI_HOME=$folder/home NUGET_PACKAGES=${NUGET_PACKAGES:-$HOME/.nuget/packages} XDG_CACHE_HOME=$folder/cache
unset GLMTUNE_LIBTORCH
set -x
dotnet pack src/GlmTune.Cli -c Release -v quiet -nologo -p:ToolPackageRuntimeIdentifiers=linux-x64 -o "$folder/packages"
dotnet tool install glmtune --tool-path "$folder/tool" --source "$folder/packages"
cd "$folder"
tool/glmtune version
tool/glmtune doctor
tool/glmtune sample
cd glmtune-sample
../tool/glmtune train data/ads models/glm-nano configs/lora-nano.yaml --set training_args.max_steps=2 \
    --set training_args.save_steps=2 --set training_args.eval_strategy=no --set data_config.test_file=null
../tool/glmtune chat output/checkpoint-2 --prompt '类型#裙*材质#棉' --temperature 0 --max-new-tokens 8
