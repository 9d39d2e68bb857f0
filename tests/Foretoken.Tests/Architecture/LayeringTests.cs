using System.Text.RegularExpressions;

namespace Foretoken.Tests.Architecture;

/// <summary>Arrows between the rooms of the library point one way.</summary>
/// <remarks>A room sees another one when its code names a type that is declared there, whatever namespace it says.</remarks>
public partial class LayeringTests
{
    // from the bottom to the top: a room sees only what stands above it in this list
    private static readonly (string Room, string[] Sees)[] Rooms =
    [
        ("Errors", []),
        ("Plans", []),
        ("Schemas", ["Errors"]),
        ("Interop", ["Errors"]),
        ("Gguf", ["Errors", "Plans"]),
        ("Machine", ["Errors", "Gguf", "Interop"]),
        ("Costs", ["Plans"]),
        ("Importance", ["Errors", "Plans"]),
        ("Skips", ["Plans", "Importance"]),
        ("Planning", ["Errors", "Plans", "Costs", "Importance", "Skips"]),
        ("Profiles", ["Errors", "Plans", "Gguf", "Importance", "Skips", "Planning"]),
        (
            "Sessions",
            [
                "Errors",
                "Plans",
                "Schemas",
                "Interop",
                "Gguf",
                "Machine",
                "Costs",
                "Importance",
                "Skips",
                "Planning",
                "Profiles",
            ]
        ),
        // counts what reports say
        ("Diagnostics", ["Sessions"]),
        (
            "Chat",
            [
                "Errors",
                "Schemas",
                "Interop",
                "Gguf",
                "Costs",
                "Importance",
                "Planning",
                "Profiles",
                "Sessions",
                "Diagnostics",
            ]
        ),
    ];

    public static TheoryData<string> Names => [.. Rooms.Select(room => room.Room)];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_room_sees_only_what_lies_below_it(string room)
    {
        Dictionary<string, string> declared = [];
        foreach ((string name, _) in Rooms)
        {
            foreach (string file in Files(name))
            {
                foreach (Match match in Declaration().Matches(File.ReadAllText(file)))
                {
                    declared[match.Groups["name"].Value] = name;
                }
            }
        }
        Assert.True(declared.Count > 200, "the declarations were not found");

        string[] sees = Rooms.Single(one => one.Room == room).Sees;
        List<string> offences = [];
        foreach (string file in Files(room))
        {
            string code = NotCode().Replace(File.ReadAllText(file), "");
            foreach (Match match in TypeUse().Matches(code))
            {
                if (
                    declared.TryGetValue(match.Value, out string? seen)
                    && seen != room
                    && !sees.Contains(seen)
                    && !IsMember(code, match)
                )
                {
                    offences.Add($"{room}/{Path.GetFileName(file)} sees {seen}.{match.Value}");
                }
            }
        }

        Assert.Empty(offences.Distinct());
    }

    [Fact]
    public void No_two_rooms_see_each_other()
    {
        List<string> below = [];
        foreach ((string room, string[] sees) in Rooms)
        {
            Assert.Empty(sees.Except(below));
            below.Add(room);
        }
    }

    [Fact]
    public void Every_room_of_the_library_has_its_place()
    {
        IEnumerable<string> folders = Directory
            .EnumerateDirectories(Library)
            .Where(path => Directory.EnumerateFiles(path, "*.cs").Any())
            .Select(path => Path.GetFileName(path));
        Assert.Empty(folders.Except([.. Rooms.Select(room => room.Room), "bin", "obj"]));
    }

    [Theory]
    [InlineData("Plans")]
    [InlineData("Planning")]
    public void Planning_does_no_input_or_output(string room)
    {
        foreach (string file in Files(room))
        {
            Assert.DoesNotMatch(InputOutput(), File.ReadAllText(file));
        }
    }

    private static string Library => Path.Combine(Repository.Root, "src", "Foretoken");

    private static IEnumerable<string> Files(string room) =>
        Directory.EnumerateFiles(Path.Combine(Library, room), "*.cs", SearchOption.AllDirectories);

    // a property, an enum's value or a parameter may have the name of a type
    private static bool IsMember(string code, Match match)
    {
        // what is created is a type, whatever follows
        if (code.AsSpan(0, match.Index).EndsWith("new ", StringComparison.Ordinal))
        {
            return false;
        }
        string before = code[Math.Max(0, match.Index - 1)..match.Index];
        string after = code[(match.Index + match.Length)..].TrimStart();
        return before == "."
            || after.StartsWith("=>", StringComparison.Ordinal)
            || after.StartsWith('=')
            || after.StartsWith('{')
            || after.StartsWith(':');
    }

    [GeneratedRegex(
        @"^(?:(?:public|internal|static|abstract|sealed|readonly|partial|unsafe|ref)\s+)*(?:class|record struct|record|struct|interface|enum)\s+(?<name>[A-Z]\w*)",
        RegexOptions.Multiline
    )]
    private static partial Regex Declaration();

    // usings, comments and texts
    [GeneratedRegex("""^using [^\n]*;|//[^\n]*|"(?:\\.|[^"\\\n])*"(?!")""", RegexOptions.Multiline)]
    private static partial Regex NotCode();

    [GeneratedRegex(@"\b[A-Z]\w*\b")]
    private static partial Regex TypeUse();

    [GeneratedRegex(
        @"\bSystem\.(IO|Net|Diagnostics\.Process)\b|\b(File|Directory|Console|Environment)\.|\bDllImport|\bLibraryImport"
    )]
    private static partial Regex InputOutput();
}
