#!/usr/bin/env bash
# Checks packed packages as a user meets them: installs them into new console applications outside the source tree, and
# chats there with the model of the samples.
#
#   tests/packages/check.sh FOLDER     FOLDER/feed holds the packages; the rest of FOLDER is written to
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(cd "$1" && pwd)
feed=$folder/feed

note() { printf 'packages: %s\n' "$*" >&2; }

die() {
    note "error: $*"
    exit 1
}

[[ $folder != "$repo"/* ]] || die "$folder lies in the source tree, whose settings would apply to the applications"
[[ $(find "$feed" -name '*.nupkg' | wc -l) -ge 2 ]] || die "there are no packages in $feed"

# only what the feed has may be taken from it; a package folder of its own keeps earlier versions of ours out
export NUGET_PACKAGES=$folder/packages RestoreFallbackFolders=${NUGET_PACKAGES:-$HOME/.nuget/packages}
export RestoreAdditionalProjectSources="${RestoreAdditionalProjectSources:+$RestoreAdditionalProjectSources;}$feed"
# the applications find the library where the packages put it
unset FORETOKEN_NATIVE_DIR

# version ID: of the one package with this id
version() {
    local file
    file=$(find "$feed" -name "$1.[0-9]*.nupkg")
    [[ $(wc -w <<< "$file") -eq 1 ]] || die "the feed should have one package $1, and has: ${file:-none}"
    file=${file##*/}
    file=${file#"$1".}
    printf '%s\n' "${file%.nupkg}"
}

# project NAME PACKAGE...: a console application of tests/packages/NAME with these packages of ours
project() {
    local name=$1 references='' id
    shift
    for id in "$@"; do
        references+="    <PackageReference Include=\"$id\" Version=\"$(version "$id")\" />"$'\n'
    done
    [[ $name != Kernel ]] || references+="    <PackageReference Include=\"Microsoft.SemanticKernel.Core\" Version=\"$(named Microsoft.SemanticKernel.Core)\" />"$'\n'
    if [[ $name == Aot ]]; then
        for id in Microsoft.Extensions.Caching.Memory Microsoft.Extensions.DependencyInjection; do
            references+="    <PackageReference Include=\"$id\" Version=\"$(named "$id")\" />"$'\n'
        done
    fi
    mkdir -p "$folder/$name"
    cp "$repo/tests/packages/$name/Program.cs" "$folder/$name/"
    cat > "$folder/$name/Application.csproj" << XML
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <Nullable>enable</Nullable>
    <ImplicitUsings>enable</ImplicitUsings>
    <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
    <NuGetAudit>false</NuGetAudit>
  </PropertyGroup>
  <ItemGroup>
$references  </ItemGroup>
</Project>
XML
}

# application NAME PACKAGE...: the same, built
application() {
    project "$@"
    dotnet build "$folder/$1" -c Release --nologo -v quiet >&2 || die "the application $1 does not build"
}

# named ID: the version of a package that is not ours, as the source tree names it
named() {
    sed -n "s/.*\"$1\" Version=\"\([^\"]*\)\".*/\1/p" "$repo/Directory.Packages.props"
}

# publish NAME WAY OPTION...: publishes without reflection-based JSON; fails where the tools for this way are not there, and ends
# where there is anything else to complain about, such as a warning of the trimmer
publish() {
    local name=$1 way=$2
    shift 2
    rm -rf "$folder/$name/bin" "$folder/$name/obj"
    if dotnet publish "$folder/$name" -c Release --nologo -v quiet -p:JsonSerializerIsReflectionEnabledByDefault=false \
        -p:TrimmerSingleWarn=false -p:InvariantGlobalization=true -o "$folder/$name/published" "$@" > "$folder/$name.log" 2>&1; then
        note "$name: $way"
        return 0
    fi
    grep -qE 'error NU1[0-9]+|NETSDK1(094|203|207)|Platform linker|error MSB3073.*(link|clang|gcc)' "$folder/$name.log" || {
        grep -E 'error|warning' "$folder/$name.log" | sort -u | head -n 40 >&2
        die "the application $name cannot be published ($way)"
    }
    return 1
}

# installed ID FILE...: the package was installed from the feed, with these files
installed() {
    local id=$1 root file
    root=$NUGET_PACKAGES/$(tr '[:upper:]' '[:lower:]' <<< "$id")/$(version "$id")
    shift
    [[ -d $root ]] || die "$id was not taken from the packed ones; is an earlier one in $RestoreFallbackFolders?"
    for file in README.md LICENSE NOTICE "$@"; do
        # shellcheck disable=SC2086 # a pattern
        compgen -G "$root/$file" > /dev/null || die "$id has no $file"
    done
    grep -q '<license type="expression">MIT</license>' "$root"/*.nuspec || die "$id does not say that its licence is MIT"
}

# chats NAME MODEL: the application answers, thinned as asked
chats() {
    local answer command=(dotnet run --no-build -c Release --project "$folder/$1" --)
    [[ ! -x $folder/$1/published/Application ]] || command=("$folder/$1/published/Application")
    answer=$("${command[@]}" "$2") || die "the application $1 fails"
    [[ $answer == *"kept less: True"* ]] || die "the application $1 said: $answer"
    note "$1: ${answer//$'\n'/ }"
}

model=$(find "$repo/samples/models" -name '*-00001-of-*.gguf' | LC_ALL=C sort | head -n 1)

application Chat Foretoken Foretoken.Native.Cpu
installed Foretoken lib/net10.0/Foretoken.dll lib/net10.0/Foretoken.xml
installed Foretoken.Native.Cpu 'runtimes/*/native/*llama*' 'runtimes/*/native/*ggml-cpu*'
[[ -f $feed/Foretoken.$(version Foretoken).snupkg ]] || die "Foretoken has no symbols"
chats Chat "$model"

# ahead of time where the compiler restores and there is a linker, else trimmed, else at least without reflection-based JSON
project Aot Foretoken Foretoken.Native.Cpu
rid=$(dotnet --info | sed -n 's/^ *RID: *//p')
linker=()
command -v clang > /dev/null || linker=(-p:CppCompilerAndLinker=gcc)
publish Aot "compiled ahead of time" -r "$rid" -p:PublishAot=true "${linker[@]}" ||
    publish Aot "trimmed, not compiled ahead of time" -r "$rid" -p:PublishTrimmed=true --self-contained ||
    publish Aot "neither trimmed nor compiled ahead of time: their packages do not restore"
chats Aot "$model"

if compgen -G "$feed/Foretoken.SemanticKernel.*.nupkg" > /dev/null; then
    application Kernel Foretoken.SemanticKernel Foretoken.Native.Cpu
    installed Foretoken.SemanticKernel lib/net10.0/Foretoken.SemanticKernel.dll lib/net10.0/Foretoken.SemanticKernel.xml
    [[ -f $feed/Foretoken.SemanticKernel.$(version Foretoken.SemanticKernel).snupkg ]] || die "Foretoken.SemanticKernel has no symbols"
    chats Kernel "$model"
fi

if compgen -G "$feed/Foretoken.LLamaSharp.*.nupkg" > /dev/null; then
    application LLamaSharp Foretoken.LLamaSharp Foretoken.Native.Cpu
    installed Foretoken.Native.Cpu 'runtimes/*/native/*foretoken-llamasharp-*'
    installed Foretoken.LLamaSharp lib/net10.0/Foretoken.LLamaSharp.dll lib/net10.0/Foretoken.LLamaSharp.xml
    [[ -f $feed/Foretoken.LLamaSharp.$(version Foretoken.LLamaSharp).snupkg ]] || die "Foretoken.LLamaSharp has no symbols"
    chats LLamaSharp "$model"
fi
