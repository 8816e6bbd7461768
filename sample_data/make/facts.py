"""Questions about the facts in documents/: what no model can know without reading, to try retrieval with.

    python sample_data/make/facts.py    writes facts.jsonl and facts_val.jsonl

The rows of the first file are about other facts than those of the second, so training on it teaches how answers
look and not what they are.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent.parent
TRAIN = FOLDER / "facts.jsonl"
VAL = FOLDER / "facts_val.jsonl"

# page | answer | ways to ask
ASKED = """
opening-hours | 9:15 | When does the shop open on Monday? ; At what time does the shop open on Friday? ; When does the Quillhaven shop open on Tuesday?
opening-hours | 10:00 | When does the shop open on Saturday? ; At what time does the shop open on Saturday? ; When does the Quillhaven shop open on Saturday?
opening-hours | 16:45 | When does the shop close on Saturday? ; Until when is the shop open on Saturday? ; At what time does the shop close on Saturday?
opening-hours | Sunday | On which day is the shop closed? ; When is the Quillhaven shop closed? ; On which day of the week is the shop closed?
opening-hours | 8:00 | From when does the support desk answer the phone? ; When can I call the support desk? ; At what time does the desk begin to answer the phone?
opening-hours | 555 0142 | What is the phone number of the support desk? ; Which number has the support desk? ; What is the number of the desk?
delivery-times | 3 working days | How long does a parcel inside the country take? ; When does a parcel inside the country arrive? ; How many days does a parcel need inside the country?
delivery-times | 6 working days | How long does a parcel to an island take? ; When does a parcel to an island arrive? ; How many days does a parcel need to an island?
delivery-times | 40 minutes | How long before does the driver call? ; When does the driver call? ; How many minutes before does the driver call?
delivery-times | 5 days | After how long does a parcel count as lost? ; When does a parcel count as lost? ; After how many days does a parcel count as lost?
delivery-prices | 3.90 euros | What does a small parcel cost? ; How much is a small parcel? ; What is the price of a small parcel?
delivery-prices | 7.40 euros | What does a large parcel cost? ; How much is a large parcel? ; What is the price of a large parcel?
delivery-prices | 29 euros | What does furniture cost to send? ; How much is the delivery of furniture? ; What is the price for furniture?
delivery-prices | 65 euros | Above which price is delivery free? ; From what price is delivery free? ; Above how many euros is delivery free?
delivery-prices | 11.50 euros | What does delivery by the next morning cost more? ; How much more is delivery by the next morning? ; What must I pay more for delivery by the next morning?
delivery-prices | 14:00 | Before when must delivery by the next morning be ordered? ; Until when can I order delivery by the next morning? ; Before what time must it be ordered?
returns | 45 days | How long can I return an item? ; Within how many days can I return an item? ; Until when can an item be returned?
returns | 4.20 euros | What does the return form cost? ; How much is the return form? ; What must I pay for the return form?
returns | 8 working days | When does the money come back? ; How long does it take until the money comes back? ; Within how many days does the money come back?
warranty | 3 years | How long is the warranty of kitchen machines? ; What warranty do kitchen machines have? ; How many years of warranty do kitchen machines have?
warranty | 5 years | How long is the warranty of tools? ; What warranty do tools have? ; How many years of warranty do tools have?
warranty | 2 years | How long is the warranty of lamps and radios? ; What warranty do lamps have? ; How many years of warranty do radios have?
repairs | Mill Street 12 | Where is the workshop? ; In which street is the workshop? ; What is the address of the workshop?
repairs | 15 euros | What does a check cost? ; How much is a check? ; What must I pay for a check?
repairs | 4 working days | How long does a simple repair take? ; How many days does a simple repair take? ; How long must I wait for a simple repair?
repairs | 11 working days | How long does a repair with a new part take? ; How long does a repair that needs a new part take? ; How many days does a repair take that needs a new part?
repairs | 6 euros | What does it cost to borrow a fridge for a week? ; How much is it to borrow a fridge? ; What does it cost to borrow an oven for a week?
prices-kitchen | 34.50 euros | What does the kettle cost? ; How much is the kettle? ; What is the price of the kettle?
prices-kitchen | 41.00 euros | What does the toaster cost? ; How much is the toaster? ; What is the price of the toaster?
prices-kitchen | 57.90 euros | What does the blender cost? ; How much is the blender? ; What is the price of the blender?
prices-kitchen | K-077 | What is the order code of the teapot? ; Which order code has the teapot? ; What is the code of the teapot?
prices-kitchen | K-310 | What is the order code of the coffee maker? ; Which order code has the coffee maker? ; What is the code of the coffee maker?
prices-kitchen | 30 September | Until when are the prices of the kitchen department valid? ; Until when are the kitchen prices valid? ; On which date do the kitchen prices end?
prices-travel | 98.00 euros | What does the suitcase cost? ; How much is the suitcase? ; What is the price of the suitcase?
prices-travel | 18.90 euros | What does the umbrella cost? ; How much is the umbrella? ; What is the price of the umbrella?
prices-travel | T-063 | What is the order code of the lantern? ; Which order code has the lantern? ; What is the code of the lantern?
prices-travel | 8 percent | How much less do members pay on tents? ; What do members pay less on tents? ; How many percent less do members pay on tents?
membership | 12 euros | What does membership cost a year? ; How much do members pay a year? ; What is the price of membership?
membership | 25 euros | Above which price do members get free delivery? ; From what price is delivery free for members? ; Above how many euros do members get free delivery?
membership | 18 months | After how long are points lost? ; When are points lost? ; After how many months are points lost?
payment | 21 days | Within how many days must an invoice be paid? ; How long do I have to pay an invoice? ; Until when must an invoice be paid?
payment | 2.50 euros | What does the second reminder cost? ; How much is the second reminder? ; What must I pay for the second reminder?
payment | 4 parts | In how many parts can I pay? ; How many parts can I pay in? ; In how many parts can an order be paid?
payment | 120 euros | Above which price can I pay in parts? ; From what price can I pay in parts? ; Above how many euros can an order be paid in parts?
app-versions | 6.3 | What is the current version of the app? ; Which version of the app is the current one? ; Which version has the app now?
app-versions | 1 March | When does version 5.8 stop working? ; On which date does version 5.8 stop working? ; Until when does version 5.8 work?
app-versions | 7 seconds | How long must I hold the logo to reset the app? ; For how long must I hold the logo? ; How many seconds must I hold the logo to reset the app?
known-problems | P-88 | Which part do I need for the coffee maker K-310? ; Which lid part helps the coffee maker? ; Which part is sent for the lid of the coffee maker?
known-problems | C-5 | Which charger do I need for the lantern T-063? ; Which charger must I ask for? ; Which charger helps the lantern?
known-problems | 14 June | When did new invoices leave? ; On which date did the new invoices leave? ; When were the new invoices sent?
"""

SYSTEM = "You answer questions about Quillhaven."


def splits() -> tuple[list[dict], list[dict]]:
    """Rows for training and for validation: every third fact is for training, with all its questions."""
    train: list[dict] = []
    val: list[dict] = []
    for number, line in enumerate(ASKED.strip().splitlines()):
        page, answer, asks = (part.strip() for part in line.split("|"))
        for question in asks.split(";"):
            (train if number % 3 == 1 else val).append({
                "messages": [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": question.strip()},
                    {"role": "assistant", "content": f"{answer}."},
                ],
                "group": f"{page}: {answer}",
            })  # fmt: skip
    return train, val


def as_jsonl(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    for path, rows in zip((TRAIN, VAL), splits(), strict=True):
        path.write_text(as_jsonl(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
