"""Texts of every kind that models write to people they talk with."""

# ruff: noqa: RUF001 - these are what such texts are written in

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A text.

    Attributes:
        text: As the model writes it.
        dropped: What ``strip_markdown`` takes out of it although it has letters.
    """

    text: str
    dropped: tuple[str, ...] = ()


_FENCED = "```python\nfor n in range(3):\n    print(n)\n```"
_TABLE = "| City | Degrees |\n| --- | ---: |\n| Paris | 21 |\n| Rome | 28 |"

SHAPES: dict[str, Shape] = {
    "plain": Shape("It is sunny in Paris today. Take a hat along."),
    "list": Shape("You need three things:\n- flour\n- two eggs\n- a little milk\n\nThat is all."),
    "list with stars": Shape("Pack these:\n* a tent\n* a lamp\n\nAnd do not forget water."),
    "numbered list": Shape("Do this:\n1. Open the lid.\n2. Press the button.\n3. Wait.\nReady?"),
    "headings": Shape("# Weather\n\nIt will rain.\n\n## Tomorrow\n\nIt will not."),
    "bold and italic": Shape("This is **very important**. It is *really* so, ***believe*** me."),
    "underscores": Shape("Set _this_ and snake_case_name. Then __start it again__, please."),
    "a name in underscores": Shape("It is in __init__ of the class. Look there."),
    "markup in a word": Shape("That is un**believ**able. Truly."),
    "markup within a line": Shape("Two points. - One is here. - The other is there."),
    "address on the web": Shape(
        "Look at https://example.com/help?topic=1&lang=en#top for more. Or call.", ("https://",)
    ),
    "link": Shape(
        "Read [the manual](https://example.com/manual) first. It is short.",
        ("https://example.com/manual",),
    ),
    "phone number": Shape("Call (555) 123-4567 or +1 555 987 6543. We are there until six."),
    "e-mail": Shape("Write to ada.lovelace+news@example.co.uk, please. We answer soon."),
    "straight quotes": Shape("He said \"I'm not sure\" and left. That wasn't nice."),
    "typographic quotes": Shape("He said “I’m not sure” and left. ‘Really’, she said."),
    "guillemets": Shape("Il a dit « bonjour » puis rien. Er sagte »Guten Tag« und ging."),
    "low quotes": Shape("Er sagte: „Ich weiß es nicht.“ Dann ging er."),
    "inline code": Shape("Run `pip install -U pipecat-ai` now. Then call `main()`."),
    "code block": Shape(f"Try this:\n\n{_FENCED}\n\nIt counts to two.", (_FENCED,)),
    "code block at the end": Shape(f"Try this:\n\n{_FENCED}", (_FENCED,)),
    "struck through": Shape("It costs ~~five~~ four. Take it.", ("~~five~~",)),
    "table": Shape(f"Here you are:\n\n{_TABLE}\n\nRome is warmer."),
    "table at the end": Shape(f"Here you are:\n\n{_TABLE}"),
    "emoji": Shape(
        "Great \U0001f600! See you soon \U0001f44b\U0001f3fd. Bye \U0001f468‍\U0001f469‍\U0001f467."
    ),
    "emoji at the end": Shape("You did it! Congratulations \U0001f389"),
    "check marks": Shape("Milk ✅ eggs ❌ flour → later. All set ✅"),
    "prices": Shape("It costs $29.99, or €1,250.50 for ten. That is £3 less. Yes."),
    "percentages": Shape("Sales rose 12.5% in May and fell 3 % in June. About 100%."),
    "dates": Shape("It is due on 2026-03-14, that is 3/14/2026. Or on March 14th, 2026."),
    "times": Shape("We open at 9:30 a.m. and close at 17:45. See you at 5 p.m. then."),
    "abbreviations": Shape("Dr. Smith, e.g., lives in St. Louis, i.e. in the U.S. now. Mr. Who?"),
    "initials": Shape("You and I. Did Albert I. Douglas come? J. R. R. Tolkien did."),
    "ellipses": Shape("Well... let me see… I think so. And then... nothing."),
    "dashes": Shape("One thing — and only one – is sure. A well-known twenty-one-year-old."),
    "parentheses": Shape("The lamp (the green one) is on. [Ask me] {later}. (Or not.)"),
    "all caps": Shape("STOP NOW! DO NOT TOUCH THE NASA PROBE. OK?"),
    "very short": Shape("OK"),
    "one letter": Shape("A."),
    "a number": Shape("42"),
    "no full stop": Shape("Let me think about it for a moment"),
    "long paragraph": Shape(" ".join(["The bank needs two working days to book a payment."] * 12)),
    "white space around": Shape("  \n Hello there. How are you? \n\n"),
    "newline at the end": Shape("Hello. How can I help you?\n"),
    "double spaces": Shape("One  two.  Three   four.  Five."),
    "tabs": Shape("Name:\tAda\nAge:\t36\nShe is well."),
    "paragraphs": Shape("The first one is here.\n\nThe second one is there. It is longer."),
    "mathematics": Shape("2 + 2 = 4, 3 * 4 = 12 and 5 > 3. So x^2 - 1 < 10. Minus: -5."),
    "units": Shape("It is 5 km away, 72°F and 1.5 kg. Drive 30 mph."),
    "versions": Shape("Take version 3.11.7 or v2.0-rc1. Not 192.168.0.1:8080."),
    "exclamations": Shape("What?! No way!!! Really??? Yes."),
    "semicolons": Shape("I came; I saw; I conquered: that is all. Fine."),
    "tags": Shape("Your code is <spell>AB. 12. C</spell>, all right? Keep it."),
    "slashes": Shape("Choose and/or decide, 24/7, w/o me. N/A is not an answer."),
    "hashes": Shape("You are #1 on @ada's list & that is C# or C++. Good."),
    "German": Shape("Schöne Grüße aus Österreich! Es kostet 3,50 € bzw. 1.200 €. Z. B. so."),
    "French": Shape("C’est l’été ; où es-tu ? Ça va très bien ! Voilà, à bientôt."),
    "Spanish": Shape("¿Cómo estás? ¡Muy bien! Mañana a las 10:30 h. El niño duerme."),
    "Polish": Shape("Dzień dobry! Proszę, oto źródło. Żółć i gęś."),
    "Russian": Shape("Привет! Как дела? Всё хорошо, т. е. отлично."),
    "Greek": Shape("Καλημέρα! Τι κάνεις; Είμαι καλά."),
    "Turkish": Shape("İyi günler! Işık açık mı? Evet, öyle."),
    "Vietnamese": Shape("Xin chào! Bạn khỏe không? Tôi rất khỏe."),
    "Arabic": Shape("مرحبا! كيف حالك؟ أنا بخير، شكرا. السعر ١٢٫٥ ريال."),
    "Hebrew": Shape('שלום! מה שלומך? אני בסדר, תודה. צה"ל.'),
    "Hindi": Shape("नमस्ते! आप कैसे हैं? मैं ठीक हूँ। धन्यवाद।"),
    "Chinese": Shape("你好!今天天气很好。我们去公园吧,好不好?价格是100元。"),
    "Chinese wide": Shape("你好！今天天气很好。我们去公园吧，好不好？价格是１００元。"),
    "Japanese": Shape("こんにちは。今日はいい天気ですね！散歩に行きましょう。「はい」と言った。"),
    "Thai": Shape("สวัสดีครับ วันนี้อากาศดีมาก ไปเดินเล่นกันไหม"),
    "Korean": Shape("안녕하세요. 오늘 날씨가 좋네요! 산책할까요?"),
    "mixed scripts": Shape("Say 你好 to Иван in 東京. Then שלום, and done. iPhone15を買う。"),
    "decomposed": Shape("Cafe\u0301 ole\u0301 costs ten. Nai\u0308ve."),
    "invisible": Shape("Soft\u00adhyphen, zero\u200bwidth and no\u00a0break. Done."),
}

_STRIPPING = (
    "sentence behind a stripping processor",
    "word behind a stripping processor",
    "no voice behind a stripping processor",
)

NOT_RECOGNISED: dict[str, tuple[tuple[str, ...], str]] = {
    # Shape: the ways on which it is not recognised, and why.
    "a name in underscores": (
        _STRIPPING,
        "A name, and another one without its underscores: __init__ and init are not the same.",
    ),
    "markup in a word": (
        _STRIPPING,
        "Within a word asterisks may be content: a**b is a power, and ab is a product.",
    ),
    "markup within a line": (
        _STRIPPING,
        "The processor sees sentence by sentence, and takes what each begins with for the start "
        "of a line. Within a line, a dash may be a minus and a > a comparison.",
    ),
    "code block at the end": (
        _STRIPPING,
        "Nobody can tell whether the code was taken out, or whether the user interrupted before "
        "it was read aloud.",
    ),
}
