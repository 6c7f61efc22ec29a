#!/usr/bin/env bash
# Writes the list of the packages in the program (CycloneDX, JSON) from a restore that was made already.
# usage: eng/sbom.sh OBJ_FOLDER TARGET.cdx.json   (OBJ_FOLDER/GlmTune.Cli holds project.assets.json)
set -euo pipefail
cd "$(dirname "$0")/.."
objects=$(realpath "$1")
target=$(realpath -m "$2")
version=$(dotnet msbuild src/GlmTune.Cli -getProperty:Version)
dotnet tool restore >/dev/null
mkdir -p "$(dirname "$target")"
dotnet tool run dotnet-CycloneDX src/GlmTune.Cli/GlmTune.Cli.csproj --disable-package-restore --no-serial-number \
    --base-intermediate-output-path "$(dirname "$objects")" --output-format Json \
    --set-name glmtune --set-version "$version" --output "$(dirname "$target")" --filename "$(basename "$target")" >/dev/null
# The same commit gives the same bytes.
seconds=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
sed -i "0,/\"timestamp\": \"[^\"]*\"/s//\"timestamp\": \"$(date -u -d "@$seconds" +%Y-%m-%dT%H:%M:%SZ)\"/" "$target"
