#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/quantize/calibrate.txt and check.txt: texts of many kinds and lengths to calibrate quantization on, and others, of
other templates and other words, to check it with. The same bytes on every machine. No text is copied from anywhere.

    tools/make_quantize_texts.py [FOLDER]
"""
import pathlib
import random
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A template's words in braces are replaced from WORDS. Of both the first half is for texts to calibrate on, the second for those to check.
WORDS = {
    "thing": ["bicycle", "kettle", "rain jacket", "desk lamp", "garden hose", "phone case", "office chair", "camera bag",
              "backpack", "toaster", "wool scarf", "floor lamp", "hiking boot", "keyboard", "mattress", "travel pillow"],
    "place": ["Lisbon", "the harbour", "a mountain village", "Nairobi", "the old library", "Oslo", "the north coast", "Lima",
              "Prague", "the science museum", "a small island", "Kyoto", "the railway station", "Cairo", "the lake", "Quito"],
    "person": ["the engineer", "our neighbour", "a young doctor", "Maria", "the committee", "my grandfather",
               "the translator", "a retired teacher", "Tomasz", "the jury", "the night nurse", "his sister"],
    "topic": ["tax law", "beekeeping", "volcanoes", "the immune system", "chess openings", "solar power",
              "bread baking", "property rights", "the migration of birds", "inflation", "jazz piano", "tidal energy"],
    "verb": ["repaired", "forgot", "described", "sold", "measured", "painted", "returned", "studied", "lost", "praised", "borrowed", "hid"],
    "adjective": ["quiet", "expensive", "broken", "careful", "ancient", "bright", "narrow", "sudden", "gentle", "heavy", "rare", "modern"],
    "name": ["count_rows", "open_file", "parse_date", "merge_keys", "send_mail", "next_token", "read_block", "to_upper"],
    "table": ["orders", "users", "events", "items", "payments", "sensors", "visits", "books"],
    "number": ["3", "12", "47", "250", "1998", "0.5", "7", "64", "88", "1,200", "2031", "9.75"],
    "month": ["January", "April", "June", "March", "October", "December"],
}
KINDS = {
    "questions": [
        "How do I clean a {thing} without damaging it?", "What is the best time of year to visit {place}?",
        "Why did {person} write about {topic} at all?", "Is {topic} hard to learn for someone who starts at forty?",
        "Can a {adjective} {thing} be sent back after {number} days?", "How many people live near {place} today?",
        "what does {topic} have to do with {topic}", "Who {verb} the {adjective} {thing} in {month}?",
        "Where can I buy a cheap {thing} in {place}?", "When was {place} first mentioned in writing?",
        "Which book on {topic} would you recommend to a beginner?", "Does {person} know why the {thing} was {adjective}?",
        "Should a {thing} cost more than {number} euros?", "how long does it take to get from {place} to {place}",
        "Could {topic} change the way {person} works?", "What happened to the {adjective} {thing} that {person} {verb}?"],
    "statements": [
        "{person} {verb} a {adjective} {thing} near {place} in {month}.", "Studies of {topic} have doubled within {number} years.",
        "After the storm nobody at {place} could find the {thing}.", "The council spent {number} million on {topic} and got little for it.",
        "Researchers found that {topic} depends less on money than on patience.", "{person} said that {place} had become too {adjective}.",
        "The court held that a {adjective} clause about {topic} was void.", "In {month} the temperature in {place} fell by {number} degrees.",
        "Patients who were treated early recovered in about {number} days.", "The exhibition on {topic} was closed because of a {adjective} leak.",
        "Every evening {person} walked to {place} and looked at the water.", "Exports grew by {number} percent while prices stayed the same.",
        "A {adjective} light was seen over {place} shortly before midnight.", "{person} {verb} the only copy of a letter about {topic}.",
        "The orchestra played for two hours, and {person} fell asleep.", "Iron rusts, copper turns green, and gold stays as it is."],
    "products": [
        "{thing}, {adjective} grey, {number} cm, with two years of warranty", "Works well, but the {thing} arrived {adjective} and late.",
        "I bought this {thing} for {place} and would not buy it again.", "New: a {adjective} {thing} for less than {number} dollars",
        "Five stars. {person} {verb} it and wants a second {thing}.", "Refund please: the {thing} stopped working after {number} weeks.",
        "{adjective} {thing} for children, washable, set of {number}", "The {thing} is smaller than in the picture, otherwise fine.",
        "best {adjective} {thing} under {number}", "Ships from {place} within {number} working days; batteries are not included.",
        "Too {adjective} for me, though {person} likes the {thing} a lot.", "Replacement handle for {thing}, fits models since {number}"],
    "mails": [
        "Dear team, please find attached what {person} wrote about {topic}.", "Hi, are we still meeting at {place} on the {number}th?",
        "Your order of one {thing} has left {place} and will arrive in {month}.", "I cannot log in any more since {month}, please help.",
        "Thank you for the {adjective} evening at {place}.", "Reminder: the report on {topic} is due in {number} hours.",
        "Please cancel my order of a {thing}; I ordered it twice.", "We regret that the course on {topic} is full until {month}.",
        "ok see you at {place} then :)", "Your invoice {number} of {month} has not been paid yet.",
        "As agreed, {person} will bring the {thing} to {place}.", "The meeting about {topic} is moved to {month}."],
    "code": [
        "def {name}(path): return [line.split(',') for line in open(path)]", "SELECT id, total FROM {table} WHERE total > {number} ORDER BY id;",
        "for (int i = 0; i < {number}; i++) sum += {name}(i);", "TypeError: {name}() takes 2 positional arguments but 3 were given",
        "git commit -m 'fix {name} for empty {table}'", "{{\"{table}\": [{{\"id\": {number}, \"name\": \"{thing}\"}}]}}",
        "if err := {name}(ctx, {number}); err != nil {{ return err }}", "segmentation fault in {name} when {table} is empty",
        "const {table} = await fetch('/api/{table}?limit={number}');", "UPDATE {table} SET name = 'x' WHERE id = {number};",
        "2031-04-02 10:15:31 WARN {name}: {number} {table} dropped", "# {name} returns the number of {table}, or -1 on failure"],
    "languages": [
        "Der Zug nach {place} hatte {number} Minuten Verspätung.", "Wo kann ich mein Fahrrad abstellen?", "Où puis-je acheter un billet pour {place} ?",
        "La réunion a été reportée au mois prochain.", "El perro duerme debajo de la mesa desde las {number}.", "¿Cuánto cuesta este libro sobre la historia?",
        "Il treno parte alle {number} dal terzo binario.", "Я живу в маленьком городе у моря.", "今天的会议改到下午三点。", "この店は日曜日に休みです。",
        "أين تقع أقرب محطة قطار؟", "मुझे यह किताब बहुत पसंद है।", "Mam dwa koty i jednego starego psa.", "De winkel is op zondag gesloten.",
        "Die Rechnung vom {number}. ist noch nicht bezahlt.", "Gestern hat es in {place} den ganzen Tag geregnet.", "Je voudrais une chambre calme avec vue.",
        "Le musée est fermé depuis {number} jours.", "La biblioteca abre a las {number} de la mañana.", "Mi hermana estudia medicina en {place}.",
        "Vorrei prenotare un tavolo per {number} persone.", "Завтра утром мы едем в горы.", "请问去火车站怎么走？", "駅までどのくらいかかりますか。",
        "الطقس جميل في الربيع.", "आज बाजार में बहुत भीड़ है।", "Pociąg do {place} odjeżdża za {number} minut.", "Ik heb gisteren een brief geschreven."],
    "short": ["{thing}", "{topic} news", "{place} weather {month}", "cheap {thing} {place}", "{number} kg in pounds", "yes", "{adjective} {thing} review", "contact",
              "{topic} for beginners", "{thing} repair", "{place} map", "no, thanks", "price of {thing}", "{adjective} weather {place}", "about us", "{number} divided by 7"],
}
COUNTS = {"questions": 40, "statements": 44, "products": 32, "mails": 28, "code": 30, "languages": 28, "short": 14, "long": 40}


def half(items, check):
    return items[len(items) // 2:] if check else items[: len(items) // 2]


def texts(check):
    choice = random.Random(2 if check else 1)

    def one(kind):
        class Fill(dict):
            def __missing__(self, key):
                return choice.choice(half(WORDS[key], check))
        text = choice.choice(half(KINDS[kind], check)).format_map(Fill())
        return text[0].upper() + text[1:] if kind in ("statements", "products", "mails") and text[0].isalpha() else text

    def long():  # a paragraph
        kinds = choice.choice([("statements",), ("statements", "questions"), ("mails", "products", "statements")])
        return " ".join(one(choice.choice(kinds)) for _ in range(choice.randrange(3, 15)))

    found = {}
    for kind, count in COUNTS.items():
        wanted, tries = len(found) + (count if not check else (count + 1) // 2), 0
        while len(found) < wanted and tries < 1000:
            found[long() if kind == "long" else one(kind)] = None
            tries += 1
    return list(found)


out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "test/data/quantize"
calibrate, check = texts(False), texts(True)
assert not set(calibrate) & set(check)
out.mkdir(parents=True, exist_ok=True)
(out / "calibrate.txt").write_text("\n".join(calibrate) + "\n")
(out / "check.txt").write_text("\n".join(check) + "\n")
