# SPDX-License-Identifier: MIT
"""Documents of a few kinds, written by a seeded generator from templates: nobody's property, the same each time. What
bench/quality/classify.py measures and the tests hold."""
import random

PEOPLE = "Anna Berg,John Miller,Maria Rossi,Tom Becker,Lena Novak,Paul Martin,Eva Lind,Omar Said,Ines Costa,Jan de Vries".split(",")
FIRMS = "Nordlicht Ltd,Acme Supplies,Blue River Inc,Hansen & Sons,Quarry Works,Meadow Foods,Lumen Studio,Stone Bridge".split(",")
TOWNS = "Bergen,Leeds,Verona,Graz,Porto,Delft,Brno,Lyon,Galway,Malmö".split(",")
THINGS = "paper,chairs,printer ink,oak boards,coffee,cables,lamps,screws,paint,glass jars,seeds,batteries".split(",")
FOODS = "flour,butter,eggs,sugar,milk,onions,garlic,tomatoes,rice,chicken,lemon,basil,salt,pepper,olive oil,cream".split(",")
SKILLS = "welding,Python,accounting,nursing,logistics,carpentry,SQL,teaching,translation,graphic design".split(",")

SENTENCES = {
    "invoice": ["Invoice number {n}", "Bill to {firm}, {town}", "{q} x {thing} at {p} EUR", "Subtotal {p} EUR",
                "VAT 20 % {p} EUR", "Total amount due {p} EUR", "Payment within 30 days", "Please transfer to our bank account",
                "Delivery note {n} refers to this order", "Late payments bear interest", "Order of {day} from {firm}",
                "Our tax number is {n}", "Quantity, description, unit price, amount"],
    "letter": ["Dear {person},", "thank you for your kind words of {day}", "I hope this finds you well",
               "We visited {town} last summer and thought of you", "Your brother {person} sends his regards",
               "Please write soon and tell us about {town}", "Yours sincerely,", "{person}",
               "The children have grown so much", "I was sorry to hear of the delay", "With all our best wishes",
               "The order of {thing} arrived safely, by the way"],
    "resume": ["Curriculum vitae of {person}", "Born in {town}", "Work experience", "{year} to {year}: {skill} at {firm}",
               "Education: university of {town}, degree {year}", "Skills: {skill}, {skill}, {skill}",
               "Languages: English, German", "References available from {person}", "Responsible for a team of {q}",
               "Interests: hiking, chess", "Career objective: a position in {skill}"],
    "contract": ["This agreement is made between {firm} and {person}", "The parties agree as follows",
                 "Section {q}: term and termination", "Either party may terminate with {q} weeks' notice",
                 "The liability of the supplier is limited", "Governing law is that of {town}",
                 "The contractor shall deliver {thing}", "Confidential information shall not be disclosed",
                 "Signed in {town} on {day}", "Hereinafter called the customer", "Amendments require written form",
                 "The remuneration is {p} EUR"],
    "recipe": ["{food} and {food} soup", "Ingredients: {q} g {food}, {q} g {food}", "Preheat the oven to 180 degrees",
               "Chop the {food} and fry with {food}", "Simmer for {q} minutes", "Add {food} and stir", "Serves {q}",
               "Season with salt and pepper", "Bake until golden", "Whisk the {food} in a bowl", "Leave to cool before serving",
               "Buy the {food} at the market in {town}"],
}
DESCRIPTIONS = {
    "invoice": "a bill: invoice number, amount due, VAT, payment",
    "letter": "a personal letter: dear, sincerely, regards, wishes",
    "resume": "a curriculum vitae: work experience, education, skills, references",
    "contract": "an agreement: parties, terms, termination, liability, signed",
    "recipe": "cooking: ingredients, oven, simmer, bake, serves",
}
COMMON = ["Page {q}", "{day}", "{person}, {town}", "Please keep this for your records", "See overleaf",
          "The weather in {town} was fine", "Telephone {n}"]


def labels():
    return [{"name": name, "description": words} for name, words in DESCRIPTIONS.items()]


def fill(rng, sentence):
    import re
    values = {"n": lambda: str(rng.randint(10000, 999999)), "q": lambda: str(rng.randint(2, 90)),
              "p": lambda: f"{rng.randint(5, 9000)}.{rng.randint(0, 99):02}", "day": lambda: f"{rng.randint(1, 28)} May {rng.randint(1999, 2024)}",
              "year": lambda: str(rng.randint(1985, 2024)), "firm": lambda: rng.choice(FIRMS), "town": lambda: rng.choice(TOWNS),
              "thing": lambda: rng.choice(THINGS), "person": lambda: rng.choice(PEOPLE), "food": lambda: rng.choice(FOODS),
              "skill": lambda: rng.choice(SKILLS)}
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]](), sentence)


def document(rng, kind, own=4, foreign=2, common=2):
    """A text with so many sentences of its kind, of other kinds, and of none: the more foreign, the harder."""
    others = [name for name in SENTENCES if name != kind]
    chosen = rng.sample(SENTENCES[kind], own) + [rng.choice(SENTENCES[rng.choice(others)]) for _ in range(foreign)]
    chosen += rng.sample(COMMON, common)
    rng.shuffle(chosen)
    return "\n".join(fill(rng, sentence) for sentence in chosen) + "\n"


def collection(seed, per_kind, **how):
    rng = random.Random(seed)
    return [(kind, document(rng, kind, **how)) for _ in range(per_kind) for kind in SENTENCES]
