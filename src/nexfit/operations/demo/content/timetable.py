"""The weekly timetable: what is taught where, on which local days and at which wall-clock time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HOLIDAYS = {(1, 1): "Yılbaşı", (10, 29): "Cumhuriyet Bayramı"}
"""Month and day of the holidays: no class takes place, and the doors stay closed."""

MON, TUE, WED, THU, FRI, SAT, SUN = range(7)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a class is about."""

    name: str
    category: str
    difficulty: str
    description: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """One class of the timetable; `start` is local wall time, `minutes` its length."""

    kind: str
    days: tuple[int, ...]
    start: str
    minutes: int
    room: str
    capacity: int
    teacher: str
    interval: int = 1
    frequency: Literal["daily", "weekly", "monthly"] = "weekly"


KINDS = {
    "spinning": Kind(
        "Spinning",
        "cycling",
        "intermediate",
        "Müzik eşliğinde tırmanış ve sprintlerle kırk beş dakika.",
        ("kardiyo", "dayanıklılık"),
    ),
    "hiit": Kind(
        "HIIT 40/20",
        "hiit",
        "advanced",
        "Kırk saniye çalışma, yirmi saniye dinlenme; her seviyeye seçenekli.",
        ("yağ yakımı", "kısa"),
    ),
    "yoga": Kind(
        "Vinyasa Yoga",
        "yoga",
        "beginner",
        "Nefesle akan duruşlar; mat yanınızda olsun.",
        ("esneklik", "nefes"),
    ),
    "yin": Kind(
        "Yin Yoga",
        "yoga",
        "beginner",
        "Uzun tutulan sakin duruşlar, günün sonunda gevşeme.",
        ("gevşeme",),
    ),
    "pilates": Kind(
        "Mat Pilates",
        "pilates",
        "beginner",
        "Merkez kaslarına odaklı, kontrollü hareketler.",
        ("core", "duruş"),
    ),
    "reformer": Kind(
        "Reformer",
        "pilates",
        "intermediate",
        "Sekiz kişilik grupla, yay direnciyle tüm beden.",
        ("reformer", "küçük grup"),
    ),
    "strength": Kind(
        "Barbell Temelleri",
        "strength",
        "beginner",
        "Çömelme, itiş ve çekişin güvenli tekniği.",
        ("kuvvet", "teknik"),
    ),
    "box": Kind(
        "Boks Kondisyon",
        "boxing",
        "intermediate",
        "Torba, ip ve ayak oyunu; eldiven salonda var.",
        ("boks", "kardiyo"),
    ),
    "core": Kind(
        "Karın Express",
        "core",
        "intermediate",
        "Yarım saatte karın ve bel.",
        ("core", "kısa"),
    ),
    "mobility": Kind(
        "Mobilite",
        "mobility",
        "beginner",
        "Kalça, omuz ve sırt için hareket açıklığı.",
        ("mobilite", "toparlanma"),
    ),
    "dance": Kind(
        "Dans Kardiyo",
        "dance",
        "beginner",
        "Kolay koreografilerle eğlenceli bir saat.",
        ("dans", "kardiyo"),
    ),
    "swim": Kind(
        "Yetişkin Yüzme",
        "swimming",
        "beginner",
        "Serbest stil tekniği, kulvar başına dört kişi.",
        ("yüzme", "teknik"),
    ),
    "workshop": Kind(
        "Açık Kapı: Kuvvet Atölyesi",
        "workshop",
        "beginner",
        "Ayda bir, tüm üyelere açık uygulamalı atölye.",
        ("atölye",),
    ),
}

TIMETABLE: dict[str, tuple[Slot, ...]] = {
    "kadikoy": (
        Slot("spinning", (MON, WED, FRI), "07:30", 45, "Spinning salonu", 22, "orcun"),
        Slot("spinning", (TUE, THU), "19:30", 45, "Spinning salonu", 22, "orcun"),
        Slot("hiit", (MON, WED), "18:30", 40, "Stüdyo 1", 18, "coach"),
        Slot("strength", (TUE, THU), "18:00", 60, "Ağırlık katı", 10, "coach"),
        Slot("yoga", (TUE, THU, SAT), "09:00", 60, "Stüdyo 2", 16, "ilayda"),
        Slot("yin", (SUN,), "19:00", 75, "Stüdyo 2", 14, "ilayda"),
        Slot("core", (MON, TUE, WED, THU, FRI), "12:30", 30, "Stüdyo 1", 20, "ilayda"),
        Slot("mobility", (WED,), "20:30", 45, "Stüdyo 2", 14, "coach"),
        Slot("dance", (FRI,), "19:00", 60, "Stüdyo 1", 24, "ilayda"),
        Slot("workshop", (SAT,), "14:00", 90, "Ağırlık katı", 12, "coach", frequency="monthly"),
    ),
    "besiktas": (
        Slot("box", (MON, WED, FRI), "19:00", 60, "Ring", 12, "cagri"),
        Slot("hiit", (TUE, THU), "07:15", 40, "Stüdyo", 16, "cagri"),
        Slot("pilates", (TUE, THU), "10:00", 55, "Stüdyo", 14, "cagri"),
        Slot("spinning", (MON, THU), "20:15", 45, "Bisiklet köşesi", 14, "coach"),
        Slot("strength", (SAT,), "11:00", 75, "Ağırlık alanı", 10, "coach"),
        Slot("core", (MON, WED, FRI), "12:15", 30, "Stüdyo", 16, "cagri"),
        Slot("mobility", (SUN,), "12:00", 45, "Stüdyo", 14, "coach", interval=2),
    ),
    "cankaya": (
        Slot("swim", (TUE, THU), "08:00", 50, "Havuz", 12, "umit"),
        Slot("swim", (SAT,), "10:00", 50, "Havuz", 12, "umit"),
        Slot("hiit", (MON, WED, FRI), "18:15", 40, "Fonksiyonel alan", 18, "umit"),
        Slot("pilates", (MON, WED), "10:30", 55, "Stüdyo", 16, "sezin"),
        Slot("yoga", (TUE, THU), "19:00", 60, "Stüdyo", 16, "sezin"),
        Slot("dance", (SAT,), "13:00", 60, "Stüdyo", 22, "sezin"),
        Slot("strength", (TUE, FRI), "17:30", 60, "Ağırlık alanı", 10, "umit"),
    ),
    "karsiyaka": (
        Slot("yoga", (MON, WED, FRI), "07:00", 60, "Teras", 14, "berfin"),
        Slot("spinning", (TUE, THU), "18:45", 45, "Spinning salonu", 16, "ufuk"),
        Slot("hiit", (MON, WED), "19:15", 40, "Stüdyo", 14, "ufuk"),
        Slot("core", (TUE, THU), "12:30", 30, "Stüdyo", 14, "ufuk"),
        Slot("box", (SAT,), "11:30", 60, "Stüdyo", 12, "ufuk"),
    ),
    "nefes": (
        Slot("reformer", (MON, WED, FRI), "09:00", 50, "Reformer salonu", 8, "berfin"),
        Slot("reformer", (TUE, THU), "18:30", 50, "Reformer salonu", 8, "berfin"),
        Slot("pilates", (MON, WED), "18:30", 55, "Mat salonu", 12, "sezin"),
        Slot("yoga", (TUE, THU), "08:30", 60, "Mat salonu", 14, "berfin"),
        Slot("yin", (FRI,), "20:00", 75, "Mat salonu", 12, "sezin"),
        Slot("yoga", (SAT,), "10:00", 75, "Mat salonu", 14, "berfin"),
    ),
}
"""Facility key to its week."""
