"""Pages of facts that change at the made-up shop: answers no model can know without reading them.

    python sample_data/make/documents.py    writes documents/*.md
"""

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "documents"

PAGES = {
    "opening-hours": """
# Opening hours

The Quillhaven shop in Norandale is open from 9:15 to 18:30, Monday to Friday. On Saturday it opens at 10:00 and closes
at 16:45. It is closed on Sunday.

The support desk answers the phone from 8:00 to 17:30, Monday to Friday. The number is 555 0142.

From 20 December to 2 January the desk answers letters only.
""",
    "delivery-times": """
# Delivery times

A parcel inside the country arrives within 3 working days. A parcel to an island needs 6 working days.

Large furniture is brought by our own driver on Tuesday and Thursday. The driver calls 40 minutes before.

A parcel that has not moved for 5 days counts as lost, and we send the order again.
""",
    "delivery-prices": """
# Delivery prices

A small parcel costs 3.90 euros. A large parcel costs 7.40 euros. Furniture costs 29 euros.

Delivery is free for orders above 65 euros. Delivery by the next morning costs 11.50 euros more and must be ordered
before 14:00.
""",
    "returns": """
# Returns

You can return an item within 45 days. The item must be clean and in its box. Candles and food cannot be returned.

A return is free when the item is broken or wrong. In other cases the return form costs 4.20 euros.

The money comes back within 8 working days after the parcel reaches the Norandale store.
""",
    "warranty": """
# Warranty

Kitchen machines have a warranty of 3 years. Tools have a warranty of 5 years. Lamps and radios have a warranty of
2 years.

Keep the invoice: its number starts with QH and has seven digits.
""",
    "repairs": """
# Repairs

The workshop is in Mill Street 12. A check costs 15 euros, which we give back when you order the repair.

A simple repair takes 4 working days. A repair that needs a new part takes 11 working days.

During the repair of a fridge or an oven you can borrow one for 6 euros a week.
""",
    "prices-kitchen": """
# Prices in the kitchen department

| item | price in euros | order code |
|---|---|---|
| kettle | 34.50 | K-118 |
| toaster | 41.00 | K-204 |
| blender | 57.90 | K-231 |
| coffee maker | 89.00 | K-310 |
| teapot | 22.40 | K-077 |

These prices are valid until 30 September.
""",
    "prices-travel": """
# Prices in the travel department

| item | price in euros | order code |
|---|---|---|
| tent for two | 129.00 | T-020 |
| backpack, 40 litres | 74.50 | T-046 |
| suitcase | 98.00 | T-051 |
| umbrella | 18.90 | T-009 |
| lantern | 26.30 | T-063 |

Members pay 8 percent less on tents.
""",
    "membership": """
# Membership

Membership costs 12 euros a year. Members get free delivery above 25 euros and one free repair check a year.

A member collects one point for each euro. 150 points are worth 5 euros. Points are lost after 18 months.
""",
    "payment": """
# Payment

We accept cards, bank transfers and gift cards. An invoice must be paid within 21 days. The first reminder is free, the
second costs 2.50 euros.

You can pay in 4 parts when the order is above 120 euros. Gift cards are valid for 3 years.
""",
    "app-versions": """
# The Quillhaven app

The current version is 6.3. It needs Android 11 or iOS 16. Version 5.8 stops working on 1 March.

Version 6.3 fixed the sign in on tablets and added the order map. To reset the app, hold the logo for 7 seconds.
""",
    "known-problems": """
# Known problems

- Coffee maker K-310, made before May: the lid can stick. We send lid part P-88 at no cost.
- Radio R-12 with software 2.1: no sound after the alarm. Software 2.2 mends it.
- Lantern T-063: the first boxes had no charger. Ask for charger C-5.
- Orders 7100 to 7180 were sent with the wrong invoice. New invoices left on 14 June.
""",
}


def pages() -> dict[str, str]:
    """File name to text."""
    return {f"{name}.md": text.lstrip() for name, text in PAGES.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
