using System.Security.Cryptography;
using System.Text;

namespace Foretoken.Chat;

/// <summary>Ids of function calls: nine letters and digits, which is all that the strictest chat templates accept.</summary>
internal static class CallIds
{
    private const int Length = 9;
    private const string Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// <summary>A new id.</summary>
    internal static string Create() => RandomNumberGenerator.GetString(Alphabet, Length);

    /// <summary>The id itself if it is strict, otherwise a strict one in its place, always the same.</summary>
    internal static string ToStrict(string id)
    {
        if (id.Length == Length && id.All(char.IsAsciiLetterOrDigit))
        {
            return id;
        }
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(id));
        return string.Create(
            Length,
            hash,
            static (strict, hash) =>
            {
                for (int i = 0; i < strict.Length; i++)
                {
                    strict[i] = Alphabet[hash[i] % Alphabet.Length];
                }
            }
        );
    }
}
