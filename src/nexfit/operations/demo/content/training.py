"""The demo coaches' workouts, programs and meal plan. Exercises and foods are named by their key and Turkish name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """An exercise in a template: so many sets of repetitions (or seconds), at a kg weight, with a rest in seconds."""

    exercise: str
    sets: int
    reps: int | None = None
    weight: float | None = None
    seconds: float | None = None
    rest: float = 90


@dataclass(frozen=True, slots=True)
class Template:
    """A workout; minutes and kcal are estimates."""

    key: str
    author: str
    name: str
    description: str
    goal: str
    difficulty: str
    minutes: int
    kcal: int
    tags: tuple[str, ...]
    works: tuple[Work, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A week of templates by day (None: rest), repeated for `weeks`; `price` in TRY, None for a free program."""

    name: str
    author: str
    description: str
    goal: str
    difficulty: str
    weeks: int
    week: tuple[str | None, ...]
    price: str | None = None
    discount: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedMeal:
    """A meal at a local time: foods with their amount in grams."""

    name: str
    time: str
    foods: tuple[tuple[str, int], ...]


TEMPLATES = (
    Template(
        "full-a",
        "coach",
        "Tüm Vücut A",
        "Haftada üç gün çalışanlar için temel hareketler.",
        "Kuvvet temeli",
        "beginner",
        55,
        380,
        ("tüm vücut", "başlangıç"),
        (
            Work("goblet-squat", 3, 10, 16),
            Work("bench-press", 3, 8, 40, rest=120),
            Work("cable-row", 3, 10, 35),
            Work("romanian-deadlift", 3, 10, 40),
            Work("plank", 3, seconds=40, rest=45),
        ),
    ),
    Template(
        "full-b",
        "coach",
        "Tüm Vücut B",
        "A gününün eşi: çekiş ve omuz ağırlıklı.",
        "Kuvvet temeli",
        "beginner",
        55,
        370,
        ("tüm vücut", "başlangıç"),
        (
            Work("leg-press", 3, 12, 90),
            Work("lat-pulldown", 3, 10, 40),
            Work("dumbbell-press", 3, 10, 12),
            Work("hip-thrust", 3, 10, 50),
            Work("dead-bug", 3, 12, rest=45),
        ),
    ),
    Template(
        "lower",
        "coach",
        "Alt Vücut Kuvvet",
        "Çömelme ve kaldırışla güçlü bacaklar.",
        "Kuvvet",
        "intermediate",
        70,
        520,
        ("bacak", "kuvvet"),
        (
            Work("back-squat", 5, 5, 80, rest=180),
            Work("deadlift", 3, 5, 100, rest=180),
            Work("walking-lunge", 3, 12, 14),
            Work("leg-curl", 3, 12, 35),
            Work("calf-raise", 4, 15, 60, rest=60),
        ),
    ),
    Template(
        "upper",
        "coach",
        "Üst Vücut Kuvvet",
        "İtiş ve çekiş dengesi.",
        "Kuvvet",
        "intermediate",
        65,
        430,
        ("üst vücut", "kuvvet"),
        (
            Work("bench-press", 5, 5, 60, rest=180),
            Work("bent-row", 4, 8, 50, rest=120),
            Work("overhead-press", 3, 6, 35, rest=120),
            Work("pull-up", 3, 6, rest=120),
            Work("face-pull", 3, 15, 15, rest=60),
        ),
    ),
    Template(
        "burn",
        "umit",
        "Yirmi Beş Dakika Yakım",
        "Aletsiz ya da tek kettlebell ile, nerede olursan ol.",
        "Yağ yakımı",
        "intermediate",
        25,
        310,
        ("kısa", "kardiyo"),
        (
            Work("kettlebell-swing", 5, 15, 16, rest=30),
            Work("burpee", 5, 10, rest=30),
            Work("mountain-climber", 5, seconds=40, rest=20),
            Work("jump-rope", 5, seconds=60, rest=30),
        ),
    ),
    Template(
        "desk-relief",
        "sezin",
        "Masa Başı Rahatlatma",
        "Gün boyu oturanlar için sırt ve kalça açıcı akış.",
        "Hareketlilik",
        "beginner",
        20,
        60,
        ("mobilite", "ofis"),
        (
            Work("cat-cow", 2, 10, rest=15),
            Work("thoracic-rotation", 2, 8, rest=15),
            Work("hip-flexor-stretch", 2, seconds=30, rest=15),
            Work("pigeon-pose", 2, seconds=45, rest=15),
            Work("childs-pose", 1, seconds=60, rest=0),
        ),
    ),
)

PROGRAMS = (
    Program(
        "Sıfırdan Güce: 8 Hafta",
        "coach",
        "Salona yeni başlayanlar için haftada üç gün, adım adım artan yük.",
        "Kuvvet temeli",
        "beginner",
        8,
        ("full-a", None, "full-b", None, "full-a", None, None),
    ),
    Program(
        "Dört Gün Kuvvet",
        "coach",
        "Üst ve alt vücut ayrımıyla on iki hafta.",
        "Kuvvet",
        "intermediate",
        12,
        ("lower", "upper", None, "lower", "upper", "desk-relief", None),
        price="1490.00",
        discount="1190.00",
    ),
    Program(
        "Yaza Hazır: 4 Hafta",
        "umit",
        "Kısa ve yoğun antrenmanlar, haftada beş gün.",
        "Yağ yakımı",
        "intermediate",
        4,
        ("burn", "full-a", "burn", None, "full-b", "burn", None),
        price="690.00",
    ),
)

MEALS = (
    PlannedMeal(
        "Kahvaltı",
        "08:00",
        (("Yumurta, haşlanmış", 100), ("Beyaz peynir", 40), ("Tam buğday ekmeği", 60), ("Domates", 120)),
    ),
    PlannedMeal("Ara öğün", "11:00", (("Kefir, sade", 200), ("Badem", 25))),
    PlannedMeal(
        "Öğle",
        "13:30",
        (("Tavuk göğsü, ızgara", 160), ("Bulgur pilavı", 150), ("Çoban salata", 150), ("Ayran", 200)),
    ),
    PlannedMeal("Antrenman öncesi", "17:30", (("Muz", 120), ("Yulaf ezmesi", 40))),
    PlannedMeal(
        "Akşam",
        "20:30",
        (("Somon, fırın", 150), ("Brokoli, buharda", 150), ("Tatlı patates, fırın", 150), ("Zeytinyağı", 10)),
    ),
)

PT_PACKAGES = (("10'lu PT paketi", 10, "14500.00"), ("20'li PT paketi", 20, "26000.00"))
"""Name, credits and price in TRY."""

REVIEW_TEXTS = {
    5: ("Harika, çok memnunum.", "Sonuç aldım, teşekkürler.", "İlgili ve bilgili."),
    4: ("Gayet iyi, biraz kalabalık.", "Beğendim, tavsiye ederim."),
    3: ("Fena değil, daha iyi olabilir.",),
}
"""Stars to what people say."""
