using System.Text;
using Foretoken.Cli.Chat;
using Foretoken.Cli.Console;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Chat;

public sealed class AttachmentTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_text_file_is_read_with_plain_line_ends()
    {
        Attachment document = Attachment.Load(_folder.Write("notes.txt", "one\r\ntwo"));

        Assert.Equal(new Attachment("notes.txt", "one\ntwo"), document);
    }

    [Fact]
    public void A_byte_order_mark_says_which_encoding_it_is()
    {
        byte[] bytes = [.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes("größer")];

        Assert.Equal("größer", Attachment.Load(_folder.Write("utf16.txt", bytes)).Text);
    }

    [Fact]
    public void A_byte_order_mark_is_not_part_of_the_text()
    {
        byte[] bytes = [.. Encoding.UTF8.GetPreamble(), .. "größer"u8];
        Assert.Equal("größer", Attachment.Load(_folder.Write("bom.txt", bytes)).Text);

        byte[] broken = [.. Encoding.UTF8.GetPreamble(), 0x67, 0x72, 0xF6, 0xDF];
        AssertRefused(_folder.Write("broken.txt", broken), "not a text file");
    }

    [Fact]
    public void What_is_not_text_is_refused()
    {
        AssertRefused(_folder.Write("nul.bin", [65, 0, 66]), "not a text file");
        AssertRefused(_folder.Write("latin1.txt", [0x67, 0x72, 0xF6, 0xDF]), "not a text file");
        AssertRefused(_folder.Write("empty.txt", " \n"), "empty");
        AssertRefused(" ", "empty");
        AssertRefused(_folder.Path, "folder");
        AssertRefused(Path.Combine(_folder.Path, "missing.txt"), "no file");
    }

    [Fact]
    public void Documents_come_first_and_the_question_last()
    {
        string prompt = QuestionFormat.Build(
            "Why?",
            [new Attachment("a.txt", "Alpha.\n"), new Attachment("b.txt", "Beta.")]
        );

        Assert.Equal(
            "Here is the document a.txt:\n\nAlpha.\n\nHere is the document b.txt:\n\nBeta.\n\nAnswer this question about the documents: Why?",
            prompt
        );
        Assert.Equal("Why?", QuestionFormat.Build("Why?", []));
    }

    private static void AssertRefused(string path, string because) =>
        Assert.Contains(
            because,
            Assert.Throws<CliException>(() => Attachment.Load(path)).Message,
            StringComparison.Ordinal
        );
}
