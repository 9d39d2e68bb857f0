namespace Foretoken.Schemas;

/// <summary>Formats of strings as patterns, narrow enough that .NET reads whatever they allow.</summary>
internal static class StringFormats
{
    // DateOnly and DateTime know the years 1 to 9999; a date with an offset must be in them in UTC, too
    private const string Year =
        "(000[2-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])";
    private const string LeapYear = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)";
    private const string Month31 = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])";
    private const string Month30 = "(0[469]|11)-(0[1-9]|[12][0-9]|30)";
    private const string Date = $"({Year}-({Month31}|{Month30}|02-(0[1-9]|1[0-9]|2[0-8]))|{LeapYear}-02-29)";
    private const string Time = @"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,7})?";
    private const string Offset = @"(Z|[+\-](0[0-9]|1[0-3]):[0-5][0-9])";
    private const string Host =
        @"[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?)*";
    private const string UriCharacter = "([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})";
    private const string IPv4 =
        @"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

    internal const string Base64 = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?";

    // as .NET writes them into schemas, and as it reads them
    private const string TimeSpanInSchemas = @"^-?(\d+\.)?\d{2}:\d{2}:\d{2}(\.\d{1,7})?$";
    private const string TimeSpanText = $@"-?([0-9]{{1,7}}\.)?{Time}";
    private const string VersionInSchemas = @"^\d+(\.\d+){1,3}$";
    private const string VersionText = @"(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){1,3}";

    /// <summary>The pattern of a format; null where any string will do.</summary>
    internal static string? Find(string format) =>
        format switch
        {
            "date" => Date,
            "date-time" => $"{Date}T{Time}{Offset}",
            // TimeOnly takes no offset
            "time" => Time,
            "duration" => "P([0-9]{1,6}W|(([0-9]{1,6}D)(T[0-9]{1,6}[HMS])?|T[0-9]{1,6}[HMS]))",
            "uuid" or "guid" => "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
            "uri" or "iri" or "url" =>
                $"([A-Za-z][A-Za-z0-9]{{1,20}}://{Host}(:[1-9][0-9]{{0,3}})?(/{UriCharacter}*)?([?]{UriCharacter}*)?(#{UriCharacter}*)?|mailto:[A-Za-z0-9._%+-]+@{Host}|urn:[a-z0-9]{{2,31}}:[A-Za-z0-9.:-]+|tel:[0-9+-]+)",
            "email" or "idn-email" => $"[A-Za-z0-9_%+-]+(\\.[A-Za-z0-9_%+-]+)*@{Host}",
            "hostname" => Host,
            "ipv4" => IPv4,
            "ipv6" =>
                "[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){7}|([0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){0,5})?::([0-9a-fA-F]{1,4})?",
            "byte" or "base64" => Base64,
            _ => null,
        };

    /// <summary>The pattern that .NET reads, for one that it writes about TimeSpan or Version and that allows more.</summary>
    internal static string Narrow(string pattern) =>
        pattern switch
        {
            TimeSpanInSchemas => TimeSpanText,
            VersionInSchemas => VersionText,
            _ => pattern,
        };

    /// <summary>The integers of a format of OpenAPI.</summary>
    internal static (decimal Min, decimal Max)? FindRange(string format) =>
        format switch
        {
            "int8" => (sbyte.MinValue, sbyte.MaxValue),
            "uint8" => (byte.MinValue, byte.MaxValue),
            "int16" => (short.MinValue, short.MaxValue),
            "uint16" => (ushort.MinValue, ushort.MaxValue),
            "int32" => (int.MinValue, int.MaxValue),
            "uint32" => (uint.MinValue, uint.MaxValue),
            "int64" => (long.MinValue, long.MaxValue),
            "uint64" => (ulong.MinValue, ulong.MaxValue),
            _ => null,
        };
}
