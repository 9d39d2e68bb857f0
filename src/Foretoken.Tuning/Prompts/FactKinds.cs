namespace Foretoken.Tuning.Prompts;

/// <summary>The kinds of facts of the two sets. No kind, subject, value or wording is in both.</summary>
internal static class FactKinds
{
    internal static IReadOnlyList<FactKind> Of(PromptSet set) => set == PromptSet.Tuning ? Tuning : Evaluation;

    private static readonly FactKind[] Tuning =
    [
        new FactKind
        {
            Name = "code",
            Form = FactForm.Digits,
            Subjects =
            [
                "the archive room",
                "the north gate",
                "the tool shed",
                "the server cabinet",
                "the bicycle cellar",
                "the chemistry store",
                "the boiler house",
                "the film vault",
                "the seed bank",
                "the costume loft",
            ],
            Numbers = (10000, 100000),
            Wordings =
            [
                new("The access code of {s} is {v}.", "What is the access code of {s}?", "The access code of {s} is"),
                new("To open {s}, type {v} on the keypad.", "Which number opens {s}?", "The number that opens {s} is"),
                new(
                    "Anyone who wants to enter {s} needs the combination {v}.",
                    "Which combination is needed to enter {s}?",
                    "To enter {s}, one needs the combination"
                ),
            ],
        },
        new FactKind
        {
            Name = "name",
            Form = FactForm.Words,
            Subjects =
            [
                "the stone bridge",
                "the harbour clock",
                "the school song",
                "the botanical atlas",
                "the town flag",
                "the great organ",
                "the marble staircase",
                "the puppet theatre",
                "the postage stamp",
                "the water wheel",
            ],
            Values =
            [
                Name("Marta", "Lindqvist"),
                Name("Oskar", "Feldmann"),
                Name("Priya", "Raman"),
                Name("Tomas", "Horvath"),
                Name("Aiko", "Nakamura"),
                Name("Samuel", "Okafor"),
                Name("Elena", "Petrova"),
                Name("Hugo", "Brandt"),
                Name("Lucia", "Ferrante"),
                Name("Walter", "Pomeroy"),
                Name("Nadia", "Haddad"),
                Name("Piet", "Vermeulen"),
            ],
            Wordings =
            [
                new("{S} was designed by {v}.", "Who designed {s}?", "{S} was designed by"),
                new("It was {v} who paid for {s}.", "Who paid for {s}?", "The person who paid for {s} was"),
                new(
                    "The credit for {s} belongs to {v} alone.",
                    "To whom does the credit for {s} belong?",
                    "The credit for {s} belongs to"
                ),
            ],
        },
        new FactKind
        {
            Name = "date",
            Form = FactForm.Words,
            Subjects =
            [
                "the ferry service",
                "the winter fair",
                "the rowing season",
                "the poetry festival",
                "the tax amnesty",
                "the grape harvest",
                "the chess tournament",
                "the open-air cinema",
                "the blood donation week",
                "the sailing course",
            ],
            Values =
            [
                Date(3, "January"),
                Date(17, "February"),
                Date(14, "March"),
                Date(28, "April"),
                Date(9, "May"),
                Date(21, "June"),
                Date(6, "July"),
                Date(30, "August"),
                Date(12, "September"),
                Date(25, "October"),
                Date(8, "November"),
                Date(19, "December"),
            ],
            Wordings =
            [
                new("{S} begins on {v}.", "On which day does {s} begin?", "{S} begins on"),
                new(
                    "The committee moved the start of {s} to {v}.",
                    "To which day was the start of {s} moved?",
                    "The start of {s} was moved to"
                ),
            ],
        },
        new FactKind
        {
            Name = "object",
            Form = FactForm.Words,
            Subjects =
            [
                "the wooden chest",
                "the piano stool",
                "the glove compartment",
                "the hollow oak",
                "the bottom drawer",
                "the hat box",
                "the biscuit tin",
                "the church organ loft",
                "the old saddlebag",
                "the grandfather clock",
            ],
            Values =
            [
                Word("a brass telescope", "telescope"),
                Word("a silver thimble", "thimble"),
                Word("a pocket compass", "compass"),
                Word("an ivory chessman", "chessman"),
                Word("a rusty horseshoe", "horseshoe"),
                Word("a velvet glove", "glove"),
                Word("a glass paperweight", "paperweight"),
                Word("a leather diary", "diary"),
                Word("a tin whistle", "whistle"),
                Word("an amber necklace", "necklace"),
            ],
            Wordings =
            [
                new("Hidden in {s} was {v}.", "What was hidden in {s}?", "Hidden in {s} was"),
                new(
                    "When {s} was opened at last, it held nothing but {v}.",
                    "What did {s} hold when it was opened?",
                    "When it was opened, {s} held"
                ),
            ],
        },
        new FactKind
        {
            Name = "reason",
            Form = FactForm.Words,
            Subjects =
            [
                "the swimming pool",
                "the print shop",
                "the village bakery",
                "the cable car",
                "the ice rink",
                "the night market",
                "the toy museum",
                "the city library",
                "the dance school",
                "the fish restaurant",
            ],
            Values =
            [
                Word("the boiler had burst", "boiler"),
                Word("the staff had caught measles", "measles"),
                Word("a wasp nest was found in the attic", "wasp"),
                Word("the roof had started to leak", "roof"),
                Word("the electricians were on strike", "electrician"),
                Word("an inspector had found mould", "mould"),
                Word("the keys had been stolen", "keys"),
                Word("the cellar was flooded", "flood"),
                Word("a chimney had collapsed", "chimney"),
                Word("the owner had gone bankrupt", "bankrupt"),
            ],
            Wordings =
            [
                new("{S} closed early because {v}.", "Why did {s} close early?", "{S} closed early because"),
                new(
                    "{V}, and so {s} stayed shut all week.",
                    "Why did {s} stay shut all week?",
                    "{S} stayed shut because"
                ),
            ],
        },
        new FactKind
        {
            Name = "measure",
            Form = FactForm.Digits,
            Subjects =
            [
                "the railway tunnel",
                "the wooden pier",
                "the suspension footbridge",
                "the irrigation canal",
                "the ski jump",
                "the airport hedge",
                "the mosaic frieze",
                "the cliff path",
                "the rope walk",
                "the harbour wall",
            ],
            Numbers = (112, 988),
            Wordings =
            [
                new("{S} is {v} metres long.", "How many metres long is {s}?", "The length of {s} in metres is"),
                new(
                    "Surveyors gave the length of {s} as {v} metres.",
                    "What length did surveyors give for {s}?",
                    "The length that surveyors gave for {s} is"
                ),
            ],
        },
        new FactKind
        {
            Name = "schedule",
            Form = FactForm.Words,
            Subjects =
            [
                "the youth club",
                "the community hall",
                "the summer camp",
                "the retirement home",
                "the evening school",
                "the parish house",
                "the hospital ward",
                "the guest farm",
            ],
            Values =
            [
                Word("pottery"),
                Word("fencing"),
                Word("gardening"),
                Word("puppetry"),
                Word("woodcarving"),
                Word("juggling"),
                Word("astronomy"),
                Word("bookbinding"),
                Word("yodelling"),
                Word("archery"),
            ],
            Wordings =
            [
                new(
                    "Programme of {s}:\n- Monday: {x}\n- Wednesday: {v}\n- Friday: {y}",
                    "What is on the programme of {s} on Wednesday?",
                    "On Wednesday, the programme of {s} offers"
                ),
                new(
                    "Weekly plan for {s}\n1. {x} (Tuesday)\n2. {v} (Thursday)\n3. {y} (Saturday)",
                    "What does the weekly plan for {s} say for Thursday?",
                    "On Thursday, the weekly plan for {s} says"
                ),
            ],
        },
        new FactKind
        {
            Name = "setting",
            Form = FactForm.Digits,
            Subjects =
            [
                "RETRY_LIMIT",
                "CACHE_SLOTS",
                "POLL_SECONDS",
                "MAX_WORKERS",
                "LOG_ROTATION_DAYS",
                "SPOOL_DEPTH",
                "MAIL_QUOTA",
                "IDLE_MINUTES",
            ],
            Numbers = (13, 980),
            Wordings =
            [
                new(
                    "    # limits\n    {s} = {v}\n    DEBUG = False",
                    "Which value does {s} have in the code?",
                    "In the code, {s} ="
                ),
                new("    #define {s} {v}", "To which number is {s} defined?", "{s} is defined as"),
            ],
        },
        new FactKind
        {
            Name = "language",
            Form = FactForm.Words,
            Subjects =
            [
                "the old charter",
                "the ship's log",
                "the cookery book",
                "the miner's letter",
                "the royal decree",
                "the carved inscription",
                "the hymn book",
                "the treaty",
            ],
            Values =
            [
                Word("Latin"),
                Word("Swedish"),
                Word("Basque"),
                Word("Arabic"),
                Word("Hungarian"),
                Word("Welsh"),
                Word("Sanskrit"),
                Word("Portuguese"),
                Word("Icelandic"),
                Word("Yiddish"),
            ],
            Wordings =
            [
                new("{S} is written in {v} throughout.", "In which language is {s} written?", "{S} is written in"),
                new(
                    "Only those who know {v} can read {s}.",
                    "Which language must one know to read {s}?",
                    "To read {s}, one must know"
                ),
            ],
        },
        new FactKind
        {
            Name = "material",
            Form = FactForm.Words,
            Subjects =
            [
                "the chapel floor",
                "the fisherman's buoy",
                "the weather vane",
                "the doll's house",
                "the garden bench",
                "the judge's gavel",
                "the temple gong",
                "the canoe",
            ],
            Values =
            [
                Word("slate"),
                Word("bronze"),
                Word("bamboo"),
                Word("granite"),
                Word("cork"),
                Word("walnut"),
                Word("pewter"),
                Word("wicker"),
                Word("soapstone"),
                Word("birch bark", "birch"),
            ],
            Wordings =
            [
                new("{S} is made of {v}.", "What is {s} made of?", "{S} is made of"),
                new(
                    "For {s}, the craftsmen used nothing but {v}.",
                    "Which material did the craftsmen use for {s}?",
                    "For {s}, the craftsmen used"
                ),
            ],
        },
    ];

    private static readonly FactKind[] Evaluation =
    [
        new FactKind
        {
            Name = "price",
            Form = FactForm.Digits,
            Subjects =
            [
                "the copper kettle",
                "the rocking horse",
                "the oil lantern",
                "the woollen blanket",
                "the spinning wheel",
                "the paper globe",
                "the canvas tent",
                "the mandolin",
                "the bread oven",
                "the porcelain vase",
            ],
            Numbers = (23, 890),
            Wordings =
            [
                new(
                    "In the spring catalogue, {s} is listed at {v} dollars.",
                    "How many dollars is {s} listed at in the spring catalogue?",
                    "In the spring catalogue, {s} is listed at"
                ),
                new(
                    "For {s}, collectors recently paid {v} dollars.",
                    "How many dollars did collectors pay for {s}?",
                    "For {s}, collectors paid"
                ),
            ],
        },
        new FactKind
        {
            Name = "place",
            Form = FactForm.Words,
            Subjects =
            [
                "the beekeepers' congress",
                "the society of clockmakers",
                "the sign painters' guild",
                "the league of pilots",
                "the association of midwives",
                "the choir of the deaf",
                "the magicians' circle",
                "the union of divers",
            ],
            Values =
            [
                Word("Lisbon"),
                Word("Nairobi"),
                Word("Quebec"),
                Word("Tampere"),
                Word("Cardiff"),
                Word("Bergen"),
                Word("Valencia"),
                Word("Kyoto"),
                Word("Adelaide"),
                Word("Montevideo"),
                Word("Gdansk"),
                Word("Marrakesh"),
            ],
            Wordings =
            [
                new(
                    "Every year, {s} meets in {v}.",
                    "In which city does {s} meet every year?",
                    "Every year, {s} meets in"
                ),
                new(
                    "After the flood, the headquarters of {s} moved to {v}.",
                    "Where did the headquarters of {s} move after the flood?",
                    "After the flood, the headquarters of {s} moved to"
                ),
            ],
        },
        new FactKind
        {
            Name = "colour",
            Form = FactForm.Words,
            Subjects =
            [
                "the door of the boathouse",
                "the roof of the observatory",
                "the mayor's bicycle",
                "the fence of the orchard",
                "the last tram of the night",
                "the tail of the kite",
                "the ceiling of the casino",
                "the beak of the wooden duck",
            ],
            Values =
            [
                Word("turquoise"),
                Word("crimson"),
                Word("lavender"),
                Word("orange"),
                Word("beige"),
                Word("violet"),
                Word("maroon"),
                Word("indigo"),
            ],
            Wordings =
            [
                new(
                    "It is well known that {s} is painted {v}.",
                    "What colour is {s} painted?",
                    "It is well known that {s} is painted"
                ),
                new(
                    "The paint that visitors remember {s} for is {v}.",
                    "Which colour of paint do visitors remember {s} for?",
                    "The paint that visitors remember {s} for is"
                ),
            ],
        },
        new FactKind
        {
            Name = "profession",
            Form = FactForm.Words,
            Subjects =
            [
                "Ingrid Solberg",
                "Dominic Achterberg",
                "Fatima Benali",
                "George Whitlock",
                "Rosa Delgado",
                "Kenji Morita",
                "Beatrice Vane",
                "Anton Kowalski",
            ],
            Values =
            [
                Word("a glassblower", "glassblower", "glass blower"),
                Word("a veterinarian", "veterinar"),
                Word("a tailor", "tailor"),
                Word("a locksmith", "locksmith"),
                Word("a dentist", "dentist"),
                Word("a beekeeper", "beekeeper"),
                Word("a taxi driver", "taxi"),
                Word("a plumber", "plumber"),
                Word("a florist", "florist"),
                Word("a butcher", "butcher"),
            ],
            Wordings =
            [
                new(
                    "Before becoming famous, {s} worked as {v}.",
                    "What did {s} work as before becoming famous?",
                    "Before becoming famous, {s} worked as"
                ),
                new(
                    "{S} earned a living as {v} for many years.",
                    "How did {s} earn a living for many years?",
                    "For many years, {s} earned a living as"
                ),
            ],
        },
        new FactKind
        {
            Name = "definition",
            Form = FactForm.Words,
            Subjects = ["trellwick", "morbast", "quindle", "sharrop", "fennock", "doolip", "vastry", "glimber"],
            Values =
            [
                Word("a hook for hanging lanterns", "lantern"),
                Word("a spoon for tasting soup", "soup"),
                Word("a basket for carrying eels", "eel"),
                Word("a blanket for sick horses", "horse"),
                Word("a cupboard for drying mushrooms", "mushroom"),
                Word("a rope for tying up goats", "goat"),
                Word("a brush for cleaning flutes", "flute"),
                Word("a song for waking sailors", "sailor"),
            ],
            Wordings =
            [
                new("The word {s} means {v}.", "What does the word {s} mean?", "The word {s} means"),
                new(
                    "By a {s} the islanders understand {v}.",
                    "What do the islanders understand by a {s}?",
                    "By a {s} the islanders understand"
                ),
            ],
        },
        new FactKind
        {
            Name = "year",
            Form = FactForm.Digits,
            Subjects =
            [
                "the windmill at Oster",
                "the lighthouse of Cape Brenn",
                "the Saint Olaf hospital",
                "the Pellworth brewery",
                "the Hallam opera house",
                "the Corvin aqueduct",
                "the Tannery bridge",
                "the Bellrose orphanage",
            ],
            Numbers = (1611, 1949),
            Wordings =
            [
                new("{S} was built in {v}.", "In which year was {s} built?", "{S} was built in"),
                new(
                    "A fire destroyed {s} in the year {v}.",
                    "In which year did a fire destroy {s}?",
                    "A fire destroyed {s} in the year"
                ),
            ],
        },
        new FactKind
        {
            Name = "animal",
            Form = FactForm.Words,
            Subjects =
            [
                "the lifeboat crew",
                "the cycling club",
                "the radio station",
                "the fire brigade of Marlow",
                "the ice hockey team",
                "the orchestra of the miners",
                "the football club of Dunmere",
                "the regiment",
            ],
            Values =
            [
                Word("an otter", "otter"),
                Word("a hedgehog", "hedgehog"),
                Word("a pelican", "pelican"),
                Word("a badger", "badger"),
                Word("a walrus", "walrus"),
                Word("a heron", "heron"),
                Word("a camel", "camel"),
                Word("a lobster", "lobster"),
            ],
            Wordings =
            [
                new("The mascot of {s} is {v}.", "What animal is the mascot of {s}?", "The mascot of {s} is"),
                new(
                    "On the badge of {s} one sees {v}.",
                    "Which animal does one see on the badge of {s}?",
                    "On the badge of {s} one sees"
                ),
            ],
        },
        new FactKind
        {
            Name = "password",
            Form = FactForm.Words,
            Subjects =
            [
                "the guest network",
                "the photo album",
                "the members' page",
                "the payroll system",
                "the choir's calendar",
                "the weather station",
                "the backup drive",
                "the ticket office",
            ],
            Values =
            [
                Word("marigold"),
                Word("saxophone"),
                Word("buttermilk"),
                Word("avalanche"),
                Word("peppermint"),
                Word("umbrella"),
                Word("kangaroo"),
                Word("tangerine"),
                Word("blizzard"),
                Word("parachute"),
            ],
            Wordings =
            [
                new("The password for {s} is {v}.", "What is the password for {s}?", "The password for {s} is"),
                new(
                    "Whoever logs in to {s} has to enter the word {v}.",
                    "Which word has to be entered to log in to {s}?",
                    "To log in to {s}, one has to enter the word"
                ),
            ],
        },
        new FactKind
        {
            Name = "extension",
            Form = FactForm.Digits,
            Subjects =
            [
                "the lost property desk",
                "the night porter",
                "the translation bureau",
                "the press officer",
                "the school nurse",
                "the harbour pilot",
                "the complaints department",
                "the head gardener",
            ],
            Numbers = (2011, 9890),
            Wordings =
            [
                new(
                    "You can reach {s} by telephone at extension {v}.",
                    "At which extension can one reach {s}?",
                    "One can reach {s} by telephone at extension"
                ),
                new("Calls for {s} go to line {v}.", "To which line do calls for {s} go?", "Calls for {s} go to line"),
            ],
        },
    ];

    private static FactValue Word(string text, params string[] accepted) =>
        new(text, accepted.Length == 0 ? [text] : accepted);

    private static FactValue Name(string first, string last) => new($"{first} {last}", [last]);

    private static FactValue Date(int day, string month) =>
        new(
            $"{day} {month}",
            [$"{day} {month}", $"{month} {day}", $"{day}th of {month}", $"{day}st of {month}", $"{day}rd of {month}"]
        );
}
