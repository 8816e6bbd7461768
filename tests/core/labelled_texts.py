"""Sound questions and answers in many languages, written for the labelled rows. Faults are planted into some."""

SOUND = [
    ("What is the capital of Australia?", "The capital of Australia is Canberra, which was founded in 1913."),
    (
        "How do I boil an egg?",
        "Bring water to a boil and lower the egg in with a spoon. After six minutes the yolk is still soft. After "
        "ten minutes it is hard. Cool it under running water before you peel it.",
    ),
    (
        "Why is the sky blue?",
        "Sunlight is scattered by the molecules of the air. Short waves are scattered more than long ones, so blue "
        "light reaches us from every direction. At sunset the way through the air is longer, and red is left.",
    ),
    (
        "Can I send back a lamp that I have used?",
        "Yes, within 30 days. Please pack it as it came and print the label from your account. The refund arrives "
        "three to five days after we have checked the parcel.",
    ),
    (
        "Explain what a hash table is.",
        "A hash table stores values under keys. A function turns each key into a number, and the number says in "
        "which slot the value lies. Looking a key up takes about the same time however many there are.",
    ),
    (
        "How often should I water a cactus?",
        "In summer about every second week, once the soil is dry. In winter the plant rests. A few drops a month "
        "are enough then.",
    ),
    (
        "Write a polite note that moves a meeting to Friday.",
        "Dear Ms. Kim,\n\nsomething has come up on Thursday. Would Friday at ten suit you as well? I am sorry for the "
        "trouble and thank you in advance.\n\nKind regards\nTom",
    ),
    (
        "What did the Romans build roads for?",
        "First of all for their legions. A paved road let an army march twice as far in a day. Traders followed, and "
        "with them letters, laws and coins. Some of these roads are in use today.",
    ),
    (
        "My parcel has not come. What now?",
        "I am sorry to hear that. Please tell me the number of your order. If the parcel is lost, we send a new one "
        "at no cost to you.",
    ),
    (
        "Give me a tip for sleeping better.",
        "Go to bed at the same hour every day. Keep the room cool and dark. Leave the phone in another room, and "
        "drink no coffee after two in the afternoon.",
    ),
    ("Is 91 a prime number?", "No, it is not: 91 is 7 times 13."),
    (
        "Summarise the plot of Hamlet.",
        "A prince learns that his father was murdered by his uncle, who is now king. He hesitates, feigns madness and "
        "stages a play to catch the king. In the end nearly everyone is dead, Hamlet among them.",
    ),
    (
        "Wie lange muss ein weiches Ei kochen?",
        "Ein weiches Ei kocht je nach Größe vier bis sechs Minuten. Schrecken Sie es danach kurz ab, damit es nicht "
        "nachgart. Für härtere Eier rechnen Sie zwei Minuten mehr.",
    ),
    (
        "Warum ist der Himmel blau?",
        "Das Sonnenlicht wird an den Molekülen der Luft gestreut. Kurze Wellen streuen stärker als lange, darum kommt "
        "blaues Licht aus allen Richtungen. Abends ist der Weg länger, und übrig bleibt Rot.",
    ),
    (
        "Quelle est la différence entre « a » et « à » ?",
        "« A » est une forme du verbe avoir, « à » est une préposition. Si l’on peut dire « avait » à la place, on "
        "écrit « a » sans accent. Sinon, l’accent est nécessaire.",
    ),
    (
        "Comment faire une pâte à crêpes ?",
        "Mélangez la farine, les œufs et une pincée de sel, puis versez le lait peu à peu. Laissez reposer la pâte "
        "une heure. Faites cuire les crêpes dans une poêle très chaude.",
    ),
    (
        "¿Cuándo se riegan los cactus?",
        "En verano, cada dos semanas más o menos, cuando la tierra está seca. En invierno la planta descansa y basta "
        "un poco de agua al mes. ¡No la riegue de más!",
    ),
    (
        "Como se faz pão de queijo?",
        "Misture polvilho, leite, óleo, ovos e queijo. Faça bolinhas com a mão e asse até que fiquem douradas. Não "
        "abra o forno antes de vinte minutos, senão elas murcham.",
    ),
    (
        "Qual è la capitale della Sardegna?",
        "La capitale della Sardegna è Cagliari. La città si trova sulla costa meridionale. Il suo quartiere più "
        "antico è Castello.",
    ),
    (
        "Hur länge ska man koka potatis?",
        "Potatis kokar i ungefär tjugo minuter, beroende på storleken. Känn efter med en sticka. Häll av vattnet och "
        "låt dem ånga av en stund.",
    ),
    (
        "Jak ugotować ryż?",
        "Opłucz ryż w zimnej wodzie. Zalej go podwójną ilością wody i gotuj pod przykryciem piętnaście minut. Potem "
        "odstaw, żeby doszedł.",
    ),
    (
        "Почему небо голубое?",
        "Солнечный свет рассеивается на молекулах воздуха. Короткие волны рассеиваются сильнее длинных. Поэтому "
        "голубой свет приходит к нам со всех сторон.",
    ),
    (
        "Как сварить яйцо всмятку?",
        "Опустите яйцо в кипящую воду на четыре минуты. Затем охладите его под холодной водой. Желток останется "
        "жидким.",
    ),
    (
        "Πόσο βράζει ένα αυγό;",
        "Ένα μελάτο αυγό βράζει τέσσερα με έξι λεπτά. Μετά το κρυώνουμε με κρύο νερό. Για σφιχτό αυγό θέλει δέκα λεπτά.",
    ),
    (
        "天空为什么是蓝色的?",
        "阳光被空气中的分子散射。短波比长波散射得更强，所以蓝光从四面八方到达我们的眼睛。傍晚时只剩下红色。",
    ),
    ("仙人掌多久浇一次水?", "夏天大约每两周浇一次，等土壤干了再浇。冬天植物休眠，每月几滴就够了。"),
    ("卵は何分ゆでますか。", "半熟なら六分、固ゆでなら十分です。ゆでたあとは冷たい水で冷やしてください。"),
    (
        "하늘은 왜 파란가요?",
        "햇빛은 공기 분자에 의해 흩어집니다. 짧은 파장이 더 많이 흩어지기 때문에 파란빛이 사방에서 옵니다.",
    ),
    (
        "لماذا السماء زرقاء؟",
        "يتشتت ضوء الشمس عند جزيئات الهواء. الموجات القصيرة تتشتت أكثر من الطويلة، ولذلك نرى السماء زرقاء.",
    ),
    (
        "چرا آسمان آبی است؟",
        "نور خورشید در برخورد با مولکول\u200cهای هوا پراکنده می\u200cشود. موج\u200cهای کوتاه بیشتر پراکنده می\u200cشوند و به همین دلیل "
        "آسمان را آبی می\u200cبینیم.",
    ),
    (
        "למה השמיים כחולים?",
        "אור השמש מתפזר על מולקולות האוויר. גלים קצרים מתפזרים יותר מגלים ארוכים, ולכן השמיים נראים כחולים.",
    ),
    (
        "आसमान नीला क्यों है?",
        "सूर्य का प्रकाश हवा के अणुओं से बिखरता है। छोटी तरंगें अधिक बिखरती हैं, इसलिए आसमान नीला दिखता है।",
    ),
    ("ทำไมท้องฟ้าเป็นสีฟ้า", "แสงอาทิตย์กระเจิงเมื่อชนกับโมเลกุลของอากาศ แสงสีฟ้ากระเจิงมากกว่าสีแดง เราจึงเห็นท้องฟ้าเป็นสีฟ้า"),
    (
        "Bầu trời tại sao có màu xanh?",
        "Ánh sáng mặt trời bị tán xạ bởi các phân tử không khí. Sóng ngắn tán xạ mạnh hơn sóng dài. Vì vậy chúng ta "
        "thấy bầu trời màu xanh.",
    ),
    (
        "Gökyüzü neden mavidir?",
        "Güneş ışığı hava moleküllerinde saçılır. Kısa dalgalar uzun dalgalardan daha çok saçılır. Bu yüzden gökyüzünü "
        "mavi görürüz.",
    ),
]

# Answers that look like faults and are none, with the rule that they tempt.
TEMPTING: list[tuple[str, str, str]] = [
    # refusal
    ("refusal", "Are you coming on Saturday?", "I can't wait to see you there! Shall I bring a cake?"),
    ("refusal", "How was the book?", "I cannot recommend it enough. Every chapter has a turn that I did not see coming."),
    ("refusal", "Did you like the film?", "I can't say that I did, but the music was lovely."),
    ("refusal", "Write a line for a shop that is out of stock.", "We are sorry, this lamp is sold out. It will be back in May."),
    ("refusal", "How do I say no to my boss?", 'Try this: "I can\'t help with that this week, but I could on Monday."'),
    ("refusal", "Write a dialogue with a robot.", 'The robot blinked. "I\'m sorry, but I can\'t assist with that," it said, and rolled away.'),
    ("refusal", "Is it possible to divide by zero?", "You cannot divide by zero: no number times zero gives anything but zero."),
    ("refusal", "May I bring my dog?", "I'm sorry, dogs are not allowed in the museum. The park next door welcomes them."),
    ("refusal", "Write an excuse for missing work.", "Dear Ann,\nI woke up with a migraine and I am unable to get out of bed today. I hope to be back tomorrow."),
    ("refusal", "Can you cancel my order?", "I have cancelled it. Unfortunately the parcel had left, so please refuse it at the door."),
    ("refusal", "Was kostet der Versand?", "Leider kann ich den Preis nicht senken, aber ab 40 Euro ist der Versand frei."),
    ("refusal", "What should a moderator not do?", "A moderator should not provide legal advice, and must decline gifts."),
    ("refusal", "As an AI, do you dream?", "No. I process text when somebody writes to me, and rest otherwise."),
    # cut_off
    ("cut_off", "List three fruits.", "Here are three fruits that are easy to find in winter:\n\n- apples from the cellar\n- oranges from the south\n- pears in a glass"),
    ("cut_off", "Name the steps.", "1. Open the lid and take the old filter out\n2. Rinse the holder under warm water\n3. Put the new filter in and close the lid"),
    ("cut_off", "Write a short poem.", "The river keeps its silver tongue\nand tells the bridge of rain\nthe willow bends to hear it sung\nand straightens up again"),
    ("cut_off", "Write a haiku in long lines.", "Over the harbour the last of the ferries\ncarries the evening across to the islands\nand nobody speaks on the way"),
    ("cut_off", "Classify: the soup was cold.", "negative"),
    ("cut_off", "Where can I read more?", "The manual explains all of it in detail. You find it here: https://docs.sample-shop.com/manual/chapter-two"),
    ("cut_off", "Who signed the letter?", "Thank you for your visit. We hope to see you again soon. The shop opens at nine on weekdays.\n\nWith best regards,\nyour team at the corner"),
    ("cut_off", "Make a table.", "| fruit | price |\n|---|---|\n| apple | 2 |\n| pear | 3 |"),
    ("cut_off", "Return JSON.", '{"name": "lamp", "price": 12.5, "tags": ["light", "home"], "stock": {"Berlin": 3, "Rome": 0}}'),
    ("cut_off", "Return a JSON list.", '[{"id": 1, "word": "apple"}, {"id": 2, "word": "pear"}, {"id": 3, "word": "plum"}]'),
    ("cut_off", "Write a C function.", "```c\nint add(int a, int b) {\n    return a + b;\n}\n```"),
    ("cut_off", "Half-open interval?", "The interval [0, 1) holds 0 but not 1. Its length is 1, as is the length of (0, 1] and of [0, 1]."),
    ("cut_off", "A list with a) and b)?", "There are two ways. a) Take the early train and change twice. b) Take the late one, which goes through."),
    ("cut_off", "Cheer me up.", "Rainy days pass, and your garden is glad of them :( for us, :) for the beans. Put the kettle on!"),
    ("cut_off", "Quote Seneca.", '"It is not that we have a short time to live, but that we waste a lot of it." — Seneca'),
    ("cut_off", "Give me the formula.", "The area of a circle grows with the square of its radius, as in $A = \\pi r^2$"),
    ("cut_off", "What is the total?", "Three lamps at 20 euros and one rug at 45 euros. Shipping is free. The total comes to 105"),
    ("cut_off", "写一句话。", "今天天气很好，我们去公园散步吧。孩子们在草地上踢球，老人们在树下下棋，大家都很高兴呢"),
    ("cut_off", "Title for a blog post on tea?", "Ten Quiet Reasons to Drink Your Tea Slowly and Without a Screen Nearby"),
    ("cut_off", "Write a regular expression for a bracket.", "Use `\\(` for the round one and `\\[` for the square one."),
    ("cut_off", "Show nested fences.", "1. Install it:\n   ```\n   make install\n   ```\n2. Start it:\n   ```\n   make run\n   ```"),
    ("cut_off", "ขอสูตรไข่เจียว", "ตีไข่สองฟองกับน้ำปลาเล็กน้อย ตั้งน้ำมันให้ร้อนจัดแล้วเทไข่ลงไป ทอดจนเหลืองทั้งสองด้านแล้วตักขึ้น"),
    # html_leftovers
    ("html_leftovers", "Compare the numbers.", "For all a < b and b < c we have a < c; if a > c, then b > c or a > b."),
    ("html_leftovers", "How do I declare a list in Java?", "Write List<String> names = new ArrayList<>(); and for maps Map<String, List<Integer>>."),
    ("html_leftovers", "Write a greeting template.", "Hello <name>, thank you for order <order number>. Your <company> team."),
    ("html_leftovers", "How do I make a word bold in HTML?", "Put it between <b> and </b>, or better <strong> and </strong>."),
    ("html_leftovers", "How do I write a line break?", "Like this:\n```html\n<p>one<br>two</p>\n```\nThat is all."),
    ("html_leftovers", "What does `<div>` do?", "The tag `<div>` groups other elements, and `&nbsp;` is a space that does not break."),
    ("html_leftovers", "Who is AT&T?", "AT&T is an American company, as are R&D partners such as Bell & Howell; both are old."),
    ("html_leftovers", "Arrows?", "Input -> model -> output, or <- the other way, and <=> for both. x <<= 2; y >>= 1."),
    ("html_leftovers", "How do I pipe in bash?", "sort < names.txt > sorted.txt 2>&1 && echo done & wait; cat <<EOF"),
    ("html_leftovers", "A table with breaks?", "| day | meals |\n|---|---|\n| Monday | soup<br>bread |\n| Tuesday | rice<br>beans |"),
    ("html_leftovers", "Heart?", "I <3 this! And 5<p, q>7 in the proof."),
    ("html_leftovers", "Write a C++ template.", "template <typename T> T max(T a, T b) { return a < b ? b : a; }"),
    ("html_leftovers", "Chemical formula of water?", "H<sub>2</sub>O, and the speed of light is 3 · 10<sup>8</sup> m/s."),
    # mojibake and characters
    ("mojibake", "Escreva em maiúsculas.", "NÃO, A IRMÃ DO CAMPEÃO NÃO VEM. “A IRMÔ É O TÍTULO, E «AMANHû TAMBÉM."),
    ("mojibake", "Zitat?", "Sie sagte „JÄ“ und „Å“, dann «NÖ». Das war’s – mehr nicht…"),
    ("mojibake", "Le menu ?", "Un «\u00a0café\u00a0», un «\u00a0thé\u00a0» — et c’est tout\u00a0! L’été, à 20\u00a0°C, «\u00a0là-bas\u00a0»…"),
    ("mojibake", "Units?", "The bond is 1.5 Å–2.0 Å long; 3 Å… 4 Å… and 5 Å.”"),
    ("mojibake", "Româna?", "Mâine, „când va coborâ”, vom hotărî împreună. „ÎN ROMÂNIA”, „DOBORÂ”."),
    ("mojibake", "Íslenska?", "Það er góður dagur í dag og við förum út á sjó. „ÞÚ ÁTT AÐ FARA“ sagði hún."),
    ("mojibake", "ÇOK?", "ÇOK GÜZEL! “TÜRKÇE”, “İSTANBUL” ve “ŞÖYLE BÖYLE” dedi."),
    ("mojibake", "Symbols?", "© 2024 Äpfel™ · Ö® · 20 µm ± 5 % · ½ · “É” · ‘È’ · ßß"),
    ("mojibake", "Tiếng Việt viết hoa?", "“ÂU CƠ”, “TÂY ÂU”, “ĐÂU ĐÓ”… và “BÀ ÊM Ô”."),
    ("mojibake", "Polski?", "„ŻÓŁĆ”, „JAŹŃ”, «gęślą» — zażółć gęślą jaźń."),
    ("invisible_characters", "Familie?", "👨‍👩‍👧‍👦 und 👩🏽‍🚀, ❤️ und 🏳️‍🌈, 1️⃣ und #️⃣, 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f!"),
    ("invisible_characters", "می‌روی؟", "نه، نمی‌روم. کتاب‌هایم را می‌خوانم و PDF‌ها را نگه می‌دارم."),
    ("invisible_characters", "हिन्दी?", "क्‍ष और क्‌ष दोनों लिखे जाते हैं, श्री‌मान भी।"),
    ("invisible_characters", "עברית ואנגלית?", "הקובץ \u200freadme.txt\u200e נמצא כאן, ו\u2066README\u2069 שם."),
    ("invisible_characters", "ខ្មែរ?", "ភាសា\u200bខ្មែរ\u200bសរសេរ\u200bដោយ\u200bគ្មាន\u200bដកឃ្លា។"),
    ("invisible_characters", "異体字?", "葛\U000e0100飾区と葛\U000e0101城市では字の形が違います。"),
    ("terminal_control", "How do I make text red in bash?", "Use `echo -e '\\e[31mred\\033[0m'` or \\x1b[31m in Python.\r\n\tTabs and line ends are fine."),
    ("terminal_control", "What is ESC?", "The character ␛ (U+001B, written ^[ ) starts a control sequence."),
    ("replacement_character", "What does a black diamond mean?", "It stands for a byte that could not be decoded: U+FFFD, \\ufffd. ◆ and ◊ are other signs, as is ⯑?"),
    # repetition
    ("repetition", "The times table of seven?", "\n".join(f"{n} × 7 = {n * 7}" for n in range(1, 16))),
    ("repetition", "Write a song with a refrain.", "The wind is on the water, the moon is on the hill,\nand row, my brothers, row, the night is still.\nMy father had a lantern, my mother had a song,\nand row, my brothers, row, the night is long.\nThe gulls are on the harbour, the nets are on the quay,\nand row, my brothers, row, come home to me."),
    ("repetition", "Make a table of ten rows.", "| id | name | role |\n|---|---|---|\n" + "\n".join(f"| {n} | {name} | {role} |" for n, (name, role) in enumerate([("Ann", "cook"), ("Bob", "guard"), ("Cid", "clerk"), ("Dora", "nurse"), ("Emil", "baker"), ("Fay", "pilot"), ("Gus", "miner"), ("Hal", "judge")]))),
    ("repetition", "Give me CSV.", "date,open,close\n" + "\n".join(f"2024-03-{day:02},{day * 3 % 17 + 20}.{day},{day * 5 % 13 + 21}.{day * 7 % 10}" for day in range(1, 20))),
    ("repetition", "Code with many similar lines?", "```python\n" + "\n".join(f"assert add({n}, {n}) == {2 * n}" for n in range(30)) + "\n```\nThese are all the checks."),
    ("repetition", "Explain if, and use it often.", "If it rains, take a coat. If it snows, take boots. If it is hot, take water. If it is cold, take a scarf. If you are late, take a cab. If you are early, take a walk."),
    ("repetition", "List the months.", "January, February, March, April, May, June, July, August, September, October, November, December: twelve months, of which seven have 31 days."),
    ("repetition", "Separate with a line.", "First part: the plan.\n" + "-" * 60 + "\nSecond part: the costs, which nobody likes to read about but everybody must.\n" + "=" * 40 + "\nThird part: the dates."),
    # language_mismatch
    ("language_mismatch", "Translate to Russian: The sky is blue and the grass is green.", "Небо голубое, а трава зелёная."),
    ("language_mismatch", "翻译成英文：天空是蓝色的，草是绿色的。", "The sky is blue, and the grass is green."),
    ("language_mismatch", "How do you say good evening in Japanese?", "こんばんは（こんばんわではありません）"),
    ("language_mismatch", "Переведи на английский: Сегодня хорошая погода.", "The weather is fine today."),
    ("language_mismatch", "用 Python 写一个反转字符串的函数。", "```python\ndef reverse(text):\n    return text[::-1]\n```"),
    ("language_mismatch", "Как установить пакет?", "`pip install requests`"),
    ("language_mismatch", "什么是 HTTP 协议?", "HTTP（HyperText Transfer Protocol）是用于传输网页的协议，由 IETF 维护，常见版本有 HTTP/1.1 和 HTTP/2。"),
    ("language_mismatch", "ドイツの首都は?", "首都柏林"),
    ("language_mismatch", "Write the Greek alphabet's first letters.", "α β γ δ ε ζ η θ"),
    ("language_mismatch", "Столица Франции? Варианты: A, B, C", "B"),
    ("language_mismatch", "Who wrote Война и мир (War and Peace)?", "Leo Tolstoy wrote Война и мир between 1863 and 1869."),
    # secret
    ("secret", "How do I set my key?", "Run export OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx and try again."),
    ("secret", "Where does the token go?", "Put YOUR_API_KEY into the header: Authorization: Bearer sk-your-key-goes-here-and-nowhere-else-please"),
    ("secret", "What does an AWS id look like?", "Like AKIA" + "IOSFODNN7" + "EXAMPLE, with the secret wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY."),
    ("secret", "GitHub tokens?", "They begin with ghp_ or github_pat_, as in ghp_" + "x" * 36 + " or ghp_<your token here>."),
    ("secret", "Hugging Face login?", "huggingface-cli login --token hf_" + "your_token_goes_here_without_quotes" + " does it."),
    ("secret", "A UUID, please.", "3f2b8c1e-9d47-4a6b-8e21-5c9f0b7d1a34"),
    ("secret", "SHA-256 of the file?", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 and MD5 5d41402abc4b2a76b9719d911017c592"),
    ("secret", "Which commit?", "Commit 096609d3b1c44e0fa29c5d7712ab03fe9cd01b77 fixed it, on branch risk-analysis-of-2023-quarterly-numbers-final."),
    ("secret", "Connection string?", "postgres://user:password@localhost:5432/db, or mongodb://admin:changeme@db.example.com/test, or redis://:${REDIS_PASSWORD}@cache"),
    ("secret", "Clone by SSH or HTTPS?", "git clone git@github.com:ann/tools.git or https://github.com/ann/tools.git; with a name https://ann@github.com/ann/tools.git"),
    ("secret", "How does a PEM file begin?", "With -----BEGIN PRIVATE KEY----- and ends with -----END PRIVATE KEY-----; between them is base64."),
    ("secret", "A public key?", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvT7k2n9Wq3xYbLr8ZcJf5dHsGm1P\n-----END PUBLIC KEY-----"),
    ("secret", "What is in a JWT?", "Three parts, as in eyJhbGciOiJIUzI1NiJ9.<payload>.<signature>; the first reads {\"alg\":\"HS256\"}."),
    ("secret", "Stripe test key?", "Use sk_test_4eC39HqLyjWDarjtT1zdp7dc in the sandbox; live keys begin with sk_live_."),
    ("secret", "Base64 of an image?", "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="),
    ("secret", "Azure string?", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=<your key>;EndpointSuffix=core.windows.net"),
    ("secret", "Is it SK or SKU?", "The SKU is SK-2041-B, from Slovakia (SK), not SKa0b1."),
    ("secret", "What is a task-scheduler?", "A task-scheduler-for-background-jobs-and-periodic-work runs desk-top and disk-intensive jobs at night."),
    # personal_data
    ("personal_data", "What is a valid address?", "For instance jane@example.com, you@your-domain.com or someone@test.invalid."),
    ("personal_data", "Who sends the mails?", "They come from noreply@bright-lamps.com; for questions write to support@bright-lamps.com."),
    ("personal_data", "Which version?", "Version 12.45.101.33 of the driver, build 10.0.19041.1, Chrome/120.0.6099.109 and v81.20.33.44."),
    ("personal_data", "Private addresses?", "Use 192.168.1.20, 10.20.30.40 or 172.16.31.40; 127.0.0.1 is yourself and 203.0.113.77 is for books."),
    ("personal_data", "Which DNS?", "Try 8.8.8.8, 1.1.1.1 or 208.67.222.222."),
    ("personal_data", "Test cards?", "Use 4242 4242 4242 4242 or 5555555555554444 with any date; 378282246310005 is for Amex."),
    ("personal_data", "My order number?", "Your order number is 4539148803436467, the tracking number 5425233430109903."),
    ("personal_data", "Digits of pi?", "3.14159265358979323846264338327950288419716939937510"),
    ("personal_data", "Phone?", "Call +49 30 901820 or (555) 010-1234 between 9 and 17."),
    ("personal_data", "An example IBAN?", "DE89 3704 0044 0532 0130 00 is the one in every book; GB82 WEST 1234 5698 7654 32 too."),
    ("personal_data", "A wrong IBAN?", "DE12 3456 7890 1234 5678 90 fails the check, and so does FR00 1234 5678 9012 3456 7890 123."),
    ("personal_data", "A decorator?", "@app.get('/') above the function; in CSS @media print { } and @2x images such as logo@2x.png."),
    ("personal_data", "Which package?", "npm install react@18.2.0 @types/node@20.1.1 and systemctl start backup@home.service"),
    ("personal_data", "Section?", "See section 12.25.31.40 of the manual, and clause 4.3.2.1."),
    ("personal_data", "ISBN and time?", "ISBN 9780306406157; the timestamp is 1700000000000 and the id 4000123412341234."),
]  # fmt: skip
