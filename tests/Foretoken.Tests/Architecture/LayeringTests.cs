using System.Text.RegularExpressions;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Architecture;

/// <summary>Arrows between the folders of the library point one way.</summary>
public partial class LayeringTests
{
    // Tuning -> Chat -> Inference -> (Planning, Interop, Profiles); Planning sees nothing
    private static readonly Dictionary<string, string[]> MaySee = new()
    {
        ["Planning"] = [],
        ["Profiles"] = ["Planning", "Gguf"],
        ["Gguf"] = ["Planning"],
        ["Interop"] = ["Diagnostics"],
        ["Schemas"] = [],
        ["Inference"] = ["Planning", "Profiles", "Gguf", "Interop", "Schemas"],
        // counts what reports say
        ["Diagnostics"] = ["Inference"],
        ["Chat"] = ["Planning", "Profiles", "Gguf", "Interop", "Inference", "Diagnostics", "Schemas"],
        // Interop for the optimiser only: it measures through the engine, as a caller would
        ["Tuning"] = ["Planning", "Profiles", "Gguf", "Interop", "Inference", "Chat"],
    };

    public static TheoryData<string> Folders => [.. MaySee.Keys];

    [Theory]
    [MemberData(nameof(Folders))]
    public void A_folder_sees_only_what_lies_below_it(string folder)
    {
        string library = Path.Combine(Repository.Root, "src", "Foretoken");
        List<string> offences = [];
        foreach (
            string file in Directory.EnumerateFiles(Path.Combine(library, folder), "*.cs", SearchOption.AllDirectories)
        )
        {
            foreach (Match match in Reference().Matches(File.ReadAllText(file)))
            {
                string seen = match.Groups[1].Value;
                if (seen != folder && MaySee.ContainsKey(seen) && !MaySee[folder].Contains(seen))
                {
                    offences.Add($"{folder}/{Path.GetFileName(file)} sees {seen}");
                }
            }
        }

        Assert.Empty(offences.Distinct());
    }

    [Fact]
    public void Every_folder_of_the_library_has_its_place()
    {
        IEnumerable<string> folders = Directory
            .EnumerateDirectories(Path.Combine(Repository.Root, "src", "Foretoken"))
            .Where(path => Directory.EnumerateFiles(path, "*.cs").Any())
            .Select(path => Path.GetFileName(path));
        Assert.Empty(folders.Except([.. MaySee.Keys, "bin", "obj"]));
    }

    [Fact]
    public void Planning_does_no_input_or_output()
    {
        foreach (
            string file in Directory.EnumerateFiles(
                Path.Combine(Repository.Root, "src", "Foretoken", "Planning"),
                "*.cs"
            )
        )
        {
            Assert.DoesNotMatch(InputOutput(), File.ReadAllText(file));
        }
    }

    [GeneratedRegex(@"\bForetoken\.([A-Z]\w*)")]
    private static partial Regex Reference();

    [GeneratedRegex(
        @"\bSystem\.(IO|Net|Diagnostics\.Process)\b|\b(File|Directory|Console|Environment)\.|\bDllImport|\bLibraryImport"
    )]
    private static partial Regex InputOutput();
}
