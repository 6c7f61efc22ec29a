#!/usr/bin/env bash
# Makes archives of glmtune for Linux x64 without .NET: with libtorch for the CPU, and without libtorch (for machines
# with PyTorch). The same commit gives the same bytes.
# usage: eng/archives.sh [FOLDER]   (default: artifacts/archives)
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-artifacts/archives}")
version=$(dotnet msbuild src/GlmTune.Cli -getProperty:Version)
mkdir -p "$out"
for libtorch in linux-x64 none; do
    name=glmtune-$version-linux-x64$([[ $libtorch == none ]] && echo -without-libtorch || true)
    rm -rf "artifacts/publish/$libtorch/$name"
    dotnet publish src/GlmTune.Cli -c Release -r linux-x64 --self-contained -v quiet -nologo \
        -p:Libtorch=$libtorch -p:ContinuousIntegrationBuild=true -p:DebugType=none \
        --artifacts-path "artifacts/publish/$libtorch" -o "artifacts/publish/$libtorch/$name"
    eng/sbom.sh "artifacts/publish/$libtorch/obj" "artifacts/publish/$libtorch/$name/glmtune.cdx.json"
    cp LICENSE NOTICE README.md README_zh.md "artifacts/publish/$libtorch/$name"
    dotnet run eng/archive.cs -- make "artifacts/publish/$libtorch/$name" "$out/$name.tar.gz"
done
(cd "$out" && sha256sum glmtune-*.tar.gz | tee SHA256SUMS && du -h glmtune-*.tar.gz)
