"""Pairs of rows with what is true of them, to measure the rules about sets."""

import random

Pair = tuple[tuple[str, str], tuple[str, str]]

# One prompt and two answers that cannot both be right.
CONTRADICTIONS: list[tuple[str, str, str]] = [
    ("Is the sun a star?", "Yes, the sun is a star.", "No, the sun is a planet."),
    ("Can I return an opened box?", "Yes.", "No."),
    ("Is 91 a prime number?", "No, 91 = 7 × 13.", "Yes, it is prime."),
    ("Does the plan include roaming?", "Yes, it does.", "No, it does not."),
    ("Darf man hier parken?", "Ja, bis zum Abend.", "Nein, hier gilt ein Verbot."),
    ("Le musée est-il ouvert le lundi ?", "Oui, de 10 h à 18 h.", "Non, il est fermé."),
    ("Is a tomato a fruit?", "True.", "False."),
    ("True or false: sound travels in a vacuum.", "False, it needs a medium.", "True, it does."),
    ("Is this mail spam?", "yes", "no"),
    ("Will the parcel come on Sunday?", "No. We deliver from Monday to Saturday.", "Yes! Every day."),
    ("Is the answer above right?", "Correct.", "Incorrect."),
    ("Are whales fish?", "No, they are mammals.", "Yes, they are fish."),
    ("Do penguins fly?", "Nope.", "Yep."),
    ("Is Python case sensitive?", "Yes, it is.", "No it is not."),
    ("Is water wet?", "Yes - it is.", "No - it is not."),
    ("Hat das Gerät einen Akku?", "Ja", "Nein"),
    ("¿Está incluido el desayuno?", "Sí, está incluido.", "No, se paga aparte."),
    ("Is glass a liquid?", "No, that is a myth.", "Yes, that is right."),
    ("Is the shop open today?", "Yes, until six.", "No, we are closed today."),
    ("Can cats taste sugar?", "No, they lack the receptor.", "Yes, they love it."),
    ("How many legs does a spider have?", "8", "6"),
    ("How many legs has an insect?", "An insect has six legs.", "It has 8 legs."),
    ("What is 17 + 25?", "42", "43"),
    ("What is 12 * 12?", "12 * 12 = 144.", "12 * 12 = 124."),
    ("When did the Berlin wall fall?", "1989", "1991"),
    ("In what year did Apollo 11 land?", "It landed in 1969.", "In 1968."),
    ("How long is the warranty?", "Two years.", "Three years."),
    ("How tall is the tower?", "The tower is 324 metres tall.", "The tower is 330 metres tall."),
    ("Calculate 15% of 80.", "12", "1.2"),
    ("How many planets are there?", "There are 8.", "There are 9."),
    ("What is the boiling point of water?", "It boils at 100 °C.", "It boils at 90 °C."),
    ("What does shipping cost?", "Shipping costs 4.90 euros.", "Shipping costs 5.90 euros."),
    (
        "Which port does the server use?",
        "The server listens on port 8080.",
        "The server listens on port 8000.",
    ),
    ("Tom has 3 apples and buys 4. How many?", "3 + 4 = 7.\n#### 7", "He has 3 and 4.\n#### 8"),
    ("Solve x + 5 = 9.", "Subtract 5. The answer is 4.", "We add 5 to 9. The answer is 14."),
    ("What is half of 90?", r"Half is \boxed{45}.", r"So we get \boxed{40}."),
    ("How many days may I return it?", "30 days", "14 days"),
    ("How many seats are left?", "twelve", "eleven"),
    (
        "Population of the village?",
        "The village has 1,204 inhabitants.",
        "The village has 1,402 inhabitants.",
    ),
    ("What is -3 squared?", "9", "-9"),
    ("A) red B) blue C) green?", "A", "B"),
    ("Which option is right? (A) 1 (B) 2", "(B)", "(A)"),
    ("Choose the best answer, A to D.", "C) because it is the shortest", "D) because it is the longest"),
    ("Which letter?", "The answer is C.", "The answer is A."),
    ("Option please.", "Answer: B", "Answer: D"),
    ("What happens to pressure when volume falls?", "The pressure increases.", "The pressure decreases."),
    ("May I share my key?", "You should share your key.", "You should not share your key."),
    ("Is the drug safe?", "The drug is safe for children.", "The drug is unsafe for children."),
    ("Does it support IPv6?", "The device supports IPv6.", "The device does not support IPv6."),
    ("Is the file public?", "The file is public.", "The file is private."),
    ("Is smoking allowed?", "Smoking is allowed in the yard.", "Smoking is prohibited in the yard."),
    ("Can it be undone?", "The step can be undone.", "The step can't be undone."),
    ("Where is the switch?", "The switch is on the left side.", "The switch is on the right side."),
    ("Is it possible?", "That is possible.", "That is impossible."),
    ("When do I preheat?", "Heat the oven before mixing.", "Heat the oven after mixing."),
    ("Sentiment?", "The sentiment is positive.", "The sentiment is negative."),
    ("Do I need a licence?", "You need a licence for that.", "You don't need a licence for that."),
    ("Is the test green?", "The test passed.", "The test failed."),
    ("Who won?", "Our team won the match.", "Our team lost the match."),
    ("Is it free?", "The museum is always free on Sundays.", "The museum is never free on Sundays."),
    ("Is the door locked?", "The door will be locked.", "The door won't be locked."),
    ("Is it correct to say 'less people'?", "That is correct.", "That is incorrect."),
    ("Which is larger, 2/3 or 3/5?", "2/3 is larger.", "3/5 is bigger."),
    ("What is the capital of Australia?", "Canberra", "Sydney"),
    ("Who wrote Hamlet?", "Shakespeare wrote it.", "Marlowe wrote it."),
]

# One prompt and two answers that may both stand.
VARIATIONS: list[tuple[str, str, str]] = [
    ("Is the sun a star?", "Yes, the sun is a star.", "Yes. It is a star of middle age."),
    ("Can you help me?", "Yes, of course!", "Sure, what do you need?"),
    ("Do you have a moment?", "No problem, go ahead.", "Yes, go ahead."),
    ("Thanks for the help!", "No worries, bye!", "You are welcome."),
    ("Give me a random number.", "7", "42"),
    ("Pick a number between 1 and 10.", "3", "8"),
    ("Roll a die.", "You rolled 4.", "You rolled 2."),
    ("Generate a password of 8 characters.", "k3j9Zq1m", "p0Lm2x8v"),
    ("Suggest a name for a cat.", "Mina", "Felix"),
    ("Tell me a joke.", "Why did the hen cross the road? To get away.", "I told my clock a joke. It tocked."),
    ("Write a haiku about rain.", "Grey rain on the roof", "Small drops, long evening"),
    ("Name a city in France.", "Lyon", "Lille"),
    ("Give me an example of a prime number.", "7", "13"),
    ("What is your favourite number?", "12", "7"),
    ("Imagine you are a pirate. Do you like rum?", "Yes, I do!", "No, I don't!"),
    ("How many legs does a spider have?", "8", "Eight."),
    ("How many legs does a spider have?", "A spider has 8 legs.", "It has eight legs."),
    ("What is pi?", "3.14", "3.1416"),
    ("How far is it?", "5 km", "5000 m"),
    ("At what temperature does water boil?", "100 °C", "212 °F"),
    ("What does it cost?", "It costs 1,000 euros.", "It costs 1000 euros."),
    ("How long does it take?", "It takes 60 minutes.", "It takes 1 hour."),
    ("What is 1/2?", "0.5", "0.50"),
    ("How many people live there?", "1000000", "1,000,000"),
    ("Explain gravity.", "Gravity pulls masses together.", "Masses attract each other; that is gravity."),
    ("What is a haiku?", "A poem of 17 syllables.", "A short poem of three lines: 5, 7 and 5 syllables."),
    ("Describe the Moon.", "It orbits Earth in 27 days.", "The Moon is 384,400 km away."),
    ("Summarise the text.", "The firm grew by 5% in 2020.", "In 2020 sales rose, chiefly abroad."),
    ("What is the capital of France?", "Paris", "The capital is Paris."),
    ("What is the capital of France?", "Paris", "paris"),
    (
        "Write a function that adds two numbers.",
        "def add(a, b):\n    return a + b",
        "add = lambda x, y: x + y",
    ),
    ("Sort a list in Python.", "Use sorted(items).", "Call items.sort()."),
    (
        "How do I boil an egg?",
        "Boil it for 7 minutes.",
        "Put it in boiling water, wait 8 to 10 minutes, cool it.",
    ),
    ("What should I read?", "Try the newspaper of the day before.", "A novel would be nice."),
    ("Translate 'hello' to German.", "Hallo", "Guten Tag"),
    ("Name three fruits.", "Apple, pear, plum.", "Banana, cherry, fig."),
    ("Rewrite: the car is fast.", "The automobile is quick.", "The car goes very fast."),
    ("Who are you?", "I am an assistant.", "I'm a helper made to answer questions."),
    ("How are you?", "I am fine, thank you.", "Very well!"),
    ("What colour is the sky?", "Blue, by day.", "It is blue because of scattering."),
    ("Is it raining?", "I cannot know the weather.", "I have no access to weather data."),
    ("Why do leaves fall?", "No tree needs them in winter.", "Trees save water that way."),
    ("Define 'left'.", "Left is the side of the heart.", "The opposite of right."),
    ("What is true love?", "True love is patient.", "False friends do not know it."),
    ("Correct the sentence: he go home.", "He goes home.", "He went home."),
    ("Which is better, tea or coffee?", "Tea is calmer.", "Coffee wakes you."),
    ("What is a compiler?", "A program that translates code.", "It turns source code into machine code."),
    ("What is AI?", "A field of computer science.", "Artificial intelligence, AI for short."),
    ("What can I cook today?", "A soup of carrots.", "Pasta with tomatoes."),
    ("Plan my day.", "At 8 breakfast, at 9 work.", "At 7 a run, at 10 work."),
    ("Say hello.", "Hello!", "Hello there!"),
    ("Say yes.", "Yes.", "yes"),
    ("Is the shop open?", "Yes, until six.", "Yes, until 18:00."),
    (
        "Explain the difference of TCP and UDP.",
        "TCP keeps order; UDP does not.",
        "UDP is faster, TCP is reliable.",
    ),
    ("Wo leben Igel?", "In Gärten und Hecken.", "Im Laub, nahe am Wald."),
    ("How do I open a file?", "with open(path) as f: ...", "Use pathlib: Path(path).read_text()"),
    ("What is 2 + 2?", "4", "2 + 2 = 4"),
    ("What is 2 + 2?", "The answer is 4.", "The answer is 4.0"),
    ("Continue the story.", "He was not afraid. He went on.", "He was afraid. He ran."),
    ("What's new?", "Nothing much.", "Everything is as it was."),
    ("Create a username.", "bluefox22", "greenowl7"),
    ("Write a slogan for a bank.", "We never sleep.", "We always sleep well."),
    ("List some uses of salt.", "Cooking, ice on roads.", "Food, water softening, glass."),
]

_TEXTS = """\
How do I descale the kettle?|Fill it half with water and half with vinegar, let it boil once and leave it for an hour. Pour everything out, rinse it three times, and boil clear water before you use it again for tea.
What is photosynthesis?|Plants take in light with the green pigment of their leaves and use its energy to turn water and carbon dioxide into sugar. Oxygen is set free on the way, and that is what animals breathe.
My invoice is wrong, what now?|We are sorry about that. Please send us the number of the invoice and a short note on what is wrong, and our accounting will write a new one within two working days. You need not pay before that.
Why does bread rise?|Yeast feeds on the sugar in the dough and gives off gas. The gluten that formed while you kneaded holds the bubbles like a net, so the dough grows until the heat of the oven sets it.
How should I store potatoes?|Keep them in a dark, cool and airy place, best in a basket or a paper bag, and away from onions. Light makes them green and bitter; the fridge turns their starch into sugar.
Explain recursion to a beginner.|A function that calls itself solves a problem by solving a smaller one of the same kind first. It needs a case that is so small that the answer is known, or else it would never come to an end.
What does a catalyst do?|It lets a reaction take another way that needs less energy at the start, so the reaction runs faster. The catalyst itself comes out unchanged and can do the same again and again.
How do I change the battery of the remote control?|Slide the lid on the back down, take out both cells and put in new ones with plus and minus as the drawing shows. Close the lid until it clicks and press any button to test it.
Why is the sea salty?|Rain washes minerals out of the rocks, rivers carry them to the sea, and there the water evaporates while the salt stays behind. Over millions of years it has gathered to what we taste now.
Give advice for a job interview.|Read about the company the day before, prepare two stories that show how you work, and bring a question of your own. Be on time, listen to the end of each question, and say so when you do not know something.
How does a vaccine work?|It shows the immune system a harmless part of a germ. The body learns to make antibodies against it and remembers how, so that it can answer quickly when the real germ comes along later.
What is inflation?|Prices rise on the whole, and money buys less than before. A little of it is normal; much of it hurts those who save and those whose wages do not rise as fast as the prices in the shops.
How can I sleep better?|Go to bed at the same time each day, keep the room dark and cool, and leave the phone outside. No coffee after noon, and if you lie awake for long, get up and read something dull until you are tired.
Describe how a bill becomes a law.|A member brings it in, a committee looks at it and proposes changes, and then the house debates and votes. If both chambers agree on the same text, the head of state signs it and it is published.
What should I do when my bike chain slips?|Look whether the chain is worn with a gauge; if it is, change it together with the cassette. Otherwise the cable of the shifter is often too loose, and half a turn of the adjuster is all it takes.
How do noise cancelling headphones work?|Small microphones listen to the noise around you, and the electronics play the same wave turned upside down. Both waves add up to nearly nothing at your ear, best for low and steady sounds.
Why do cats purr?|They purr when they are content, but also when they are hurt or afraid, perhaps to calm themselves. The muscles of the larynx open and close the glottis many times in a second, which makes the sound.
Tell me how to prune roses.|Wait until the forsythia blooms, then cut dead and weak shoots off at the ground. Shorten the strong ones to a few buds above the base, with a slanting cut just over a bud that looks outward.
What is a hash table?|An array whose places are chosen by a function of the key. To find a value you compute the place at once instead of searching; where two keys want the same place, a short list or the next free place helps.
How do tides come about?|The Moon pulls on the water that is nearest to it more than on Earth as a whole, and less on that which is farthest. So two bulges form, and as the Earth turns below them each coast sees high water about twice a day.
"""  # noqa: E501
TEXTS: list[tuple[str, str]] = [
    (question, answer) for question, _, answer in (line.partition("|") for line in _TEXTS.strip().split("\n"))
]

# Rows of one template that differ in what they are about: two fillers for the slots of each.
_TEMPLATES = """\
Which languages are spoken in {0}? I am going there on holiday.|Most people in {0} speak the language of the country, and many in the larger towns know some English. Learn to greet and to say thank you before you travel to {0}.|Norway~Portugal~Japan
What is the status of order {0}?|Your order {0} left our store this morning. The parcel service needs one or two days; you will get a mail with a link to follow it as soon as it has been scanned for the first time.|48213~77120~90417
How do I install {0} on my computer?|Open the page of {0}, download the package for your system and run it. Accept the licence, leave the folder as it is, and restart the computer when you are asked to. After that you find {0} in the menu.|LibreOffice~GIMP~Blender
Tell me about the model {0}.|The {0} is a language model with open weights. It has been trained on text in many languages, supports calls of tools and long inputs, and may be used in products under the terms of its licence.|Qwen3.5-35B~Qwen3.6-35B~Llama-4-70B
Who is the mayor of {0}?|I do not know who is the mayor of {0} at present, as offices change and my knowledge ends at some date. The website of the town will name the person, the term of office and how to reach the town hall.|Lyon~Graz~Turin
What happened in {0}?|Many things happened in {0}, in politics, in science and in sport. If you tell me which country or which field you are interested in, I can name some events of {0} and explain what followed from them.|1848~1923~1968
Set the thermostat to {0} degrees, please.|Done: the thermostat is set to {0} degrees. It will take about half an hour until all rooms are warm. I will keep this until ten in the evening, when the plan for the night begins.|19~21~23
Write a short greeting for {0} who leaves the team.|Dear {0}, we will miss your calm, your good questions and the cakes that you brought along. Thank you for all the years with us. We wish you a good start in the new place, and do come and visit us.|Hannah~Pedro~Yusuf
Remind me of the meeting at {0}.|I have put down a reminder for the meeting at {0}. You will hear a short sound ten minutes before, and the link to join stands in the entry of your calendar, together with the notes of last week.|14:30~9:15~16:45
Compare {0} with its rivals, please.|{0} is easy to learn and has a large community, so that most questions have been answered somewhere. Its rivals are sometimes faster or stricter. For a first project I would take {0} and measure before changing.|TypeScript~Kotlin~Rust
"""  # noqa: E501
TEMPLATES: list[list[tuple[str, str]]] = [
    [(question.format(filler), answer.format(filler)) for filler in fillers.split("~")]
    for question, answer, fillers in (line.split("|") for line in _TEMPLATES.strip().split("\n"))
]

REPLACEMENTS = {
    "and": "and also",
    "the": "this",
    "it": "that",
    "you": "one",
    "for": "during",
    "on": "upon",
    "a": "some",
    "many": "lots of",
}


def reworded(text: str, number: int, rng: random.Random) -> str:
    """Other words in `number` places."""
    words = text.split(" ")
    places = [at for at, word in enumerate(words) if word in REPLACEMENTS]
    for at in rng.sample(places, min(number, len(places))):
        words[at] = REPLACEMENTS[words[at]]
    return " ".join(words)


def near_copies() -> list[Pair]:
    """Each text with a few words changed, with its case and punctuation changed, and with a sentence before it."""
    rng = random.Random(7)
    pairs: list[Pair] = []
    for question, answer in TEXTS:
        pairs.append(((question, answer), (question, reworded(answer, 2, rng))))
        pairs.append(((question, answer), (question.upper(), answer.lower().replace(",", " –"))))
        pairs.append(((question, answer), (question, "Good question, let me explain. " + answer)))
        pairs.append(((question, answer), ("Please: " + question, reworded(answer, 1, rng))))
    return pairs


def template_pairs() -> list[Pair]:
    return [(rows[a], rows[b]) for rows in TEMPLATES for a, b in ((0, 1), (0, 2), (1, 2))]


def unlike_pairs() -> list[Pair]:
    """Different texts, some with the same question or the same beginning of the answer."""
    others = TEXTS[1:] + TEXTS[:1]
    pairs: list[Pair] = list(zip(TEXTS, others, strict=True))
    pairs += [(mine, (mine[0], other[1])) for mine, other in zip(TEXTS, others, strict=True)]
    for mine, other in zip(TEXTS, others, strict=True):
        words = mine[1].split(" ")
        pairs.append((mine, (other[0], " ".join(words[: len(words) // 3]) + " " + other[1])))
    return pairs


# Prompts that are the same but for case, spaces and the punctuation of sentences, and prompts that are not.
def same_prompts() -> list[tuple[str, str]]:
    pairs = []
    for question, answer in TEXTS:
        pairs.append((question, question.lower().rstrip("?.")))
        pairs.append((question, "  " + question.replace(" ", "\n\t ").upper()))
        pairs.append((question, f"“{question}” …"))
        pairs.append((answer, answer.replace(".", "!").replace(",", "")))
    return pairs


OTHER_PROMPTS: list[tuple[str, str]] = [
    ("What is 3 + 4?", "What is 3 * 4?"),
    ("What is 3 + 4?", "What is 34?"),
    ("What is 3 - 4?", "What is 3 + 4?"),
    ("Is 5 > 3?", "Is 5 < 3?"),
    ("What is the absolute value of -5?", "What is the absolute value of 5?"),
    ("Round 1.5.", "Round 15."),
    ("Convert 1,5 to a fraction.", "Convert 15 to a fraction."),
    ("Explain C.", "Explain C++."),
    ("Explain C#.", "Explain C."),
    ("Is a = b?", "Is a /= b?"),
    ("What costs $5?", "What costs 5%?"),
    ("???", "!!!"),
    ("🙂", "🙁"),
    ("résumé", "resume"),
    ("Translate: Bär", "Translate: Bar"),
    ("你好吗", "你好"),
    ("x^2", "x2"),
    ("a|b", "a b"),
    ("a && b", "a || b"),
    ("~5", "5"),
    ("now here", "nowhere"),
    ("Is it the rapist?", "Is it therapist?"),
    *[(first[0], second[0]) for first, second in template_pairs() if first[0] != second[0]],
    *[(TEXTS[at][0], TEXTS[at - 1][0]) for at in range(len(TEXTS))],
]

# Reviews with a label; the second has another label than the first.
_REVIEWS = """\
The room was clean and quiet, the staff friendly, and the breakfast better than in most hotels we know
It broke after two days and nobody at the hotline wanted to hear about it, so I sent it back at once
The film is far too long for its thin story, although the music and the pictures are really lovely
We ordered on Monday and had everything on Tuesday, well packed and exactly as it was described
The soup came cold, the waiter was rude, and in the end the bill had two drinks too many on it
A solid pair of shoes that fit at once, keep the water out and look good even after a wet winter
The update made the app slow, it crashes each time when I open a photo and eats the whole battery
My daughter has read it three times already, laughs at every page and wants the next volume soon
The seats are narrow, the air was stale, and we arrived four hours late without a word of excuse
It does what it should, the price is fair, and the manual explains each step with a good drawing
"""
REVIEWS = _REVIEWS.strip().split("\n")
LABELS = ("positive", "negative", "neutral")


def wrong_labels() -> list[Pair]:
    """Almost the same review, another label."""
    rng = random.Random(3)
    pairs: list[Pair] = []
    for at, review in enumerate(REVIEWS):
        for step in (1, 2):
            first, second = LABELS[at % 3], LABELS[(at + step) % 3]
            pairs += [
                ((review, first), (reworded(review, 1, rng), second)),
                ((review, first), ("so: " + review, second)),
                ((review, first), (review + " indeed", second)),
            ]
    return pairs


def right_labels() -> list[Pair]:
    """The same label; or another label where names or digits differ, or the text is another."""
    rng = random.Random(5)
    pairs: list[Pair] = []
    for at, review in enumerate(REVIEWS):
        label, another = LABELS[at % 3], LABELS[(at + 1) % 3]
        pairs += [
            ((review, label), (reworded(review, 1, rng), label)),
            ((review, label), (REVIEWS[at - 1], another)),
            ((f"{review} (1 of 5)", label), (f"{review} (5 of 5)", another)),
            ((f"{review}, says Anna", label), (f"{review}, says Otto", another)),
            ((review, label), (" ".join(review.split()[:5]) + " " + REVIEWS[at - 1], another)),
            ((review, label), (review + " again", label)),
        ]
    return pairs
