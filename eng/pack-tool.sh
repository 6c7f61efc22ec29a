#!/usr/bin/env bash
# Packs glmtune as a .NET tool: the package `glmtune`, and one for each platform to which it refers.
# usage: eng/pack-tool.sh [FOLDER]   (default: artifacts/packages)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-artifacts/packages}
mkdir -p "$out"
rm -f "$out"/glmtune.*.nupkg

# The packages hold libtorch for the CPU, so a platform's natives are restored whatever platform packs.
dotnet restore src/GlmTune.Cli -v quiet -nologo -p:Libtorch=all --artifacts-path artifacts/pack
eng/sbom.sh artifacts/pack/obj artifacts/pack/glmtune.cdx.json
dotnet pack src/GlmTune.Cli -c Release -v quiet -nologo -p:Libtorch=all -p:ContinuousIntegrationBuild=true \
    -p:Sbom="$PWD/artifacts/pack/glmtune.cdx.json" --artifacts-path artifacts/pack -o "$out"
dotnet run eng/archive.cs -- same "$out"/glmtune.*.nupkg
(cd "$out" && sha256sum glmtune.*.nupkg | tee SHA256SUMS-tool && du -h glmtune.*.nupkg)
