#!/usr/bin/env bash
# Builds this commit twice, in two folders with different names, and compares every file of the product byte by byte.
# Nothing that is not committed takes part.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export CI=true
for copy in one another-folder; do
    git clone --quiet . "$folder/$copy"
    (cd "$folder/$copy" && dotnet publish src/GlmTune.Cli -c Release -v quiet -nologo -p:Libtorch=none -p:RunAnalyzers=false \
        -p:ContinuousIntegrationBuild=true -o "$folder/$copy.out")
done
files=$(find "$folder/one.out" -type f | wc -l)
diff --recursive --brief "$folder/one.out" "$folder/another-folder.out"
echo "$files files are the same in both builds."
