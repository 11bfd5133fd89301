"""The demo's businesses: a gym chain in three cities and a studio, with hours, rooms, equipment, plans and staff.

Prices are gross (KDV included) in TRY. Hours are local wall time; a closing time before the opening time ends on the
next day. Staff keys name people: the same key in two facilities is the same person.
"""

from __future__ import annotations

from dataclasses import dataclass

TIMEZONE = "Europe/Istanbul"
CURRENCY = "TRY"
COUNTRY = "TR"
KDV_PERCENT = 20

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Hours = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """A membership plan; `share` is its weight among the facility's new members."""

    key: str
    name: str
    description: str
    months: int
    price: str
    share: int
    features: tuple[str, ...]
    visits_per_week: int | None = None
    bookings_per_week: int | None = None
    classes: bool = True
    pt_sessions: int = 0


@dataclass(frozen=True, slots=True)
class Staff:
    """One staff member of a facility: who, as what, and what they may do there."""

    person: str
    role: str
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """One facility, its hours by weekday from Monday (None: closed) and how large its share of the members is."""

    key: str
    owner: str
    type: str
    name: str
    street: str
    district: str
    city: str
    zip_code: str
    longitude: float
    latitude: float
    phone: str
    email: str
    hours: tuple[Hours | None, ...]
    amenities: tuple[str, ...]
    features: tuple[str, ...]
    equipment: tuple[str, ...]
    staff: tuple[Staff, ...]
    plans: tuple[Plan, ...]
    invoice_prefix: str
    members_percent: int


OWNERS = {
    "chain": ("Nilüfer", "Çınarlı", "Çınar Spor Kulüpleri"),
    "studio": ("Tuğrul", "Işıkgöz", "Stüdyo Nefes"),
}
"""Owner key to first name, last name and business name."""

PEOPLE = {
    "coach": ("Barış", "Göktepe"),
    "desk": ("Şule", "Kızıltan"),
    "hakan": ("Hakan", "Özbey"),
    "ilayda": ("İlayda", "Şengül"),
    "orcun": ("Orçun", "Tığlı"),
    "gulsum": ("Gülsüm", "Ağca"),
    "cagri": ("Çağrı", "Uğurlu"),
    "irem": ("İrem", "Bağcı"),
    "sezin": ("Sezin", "Öğüt"),
    "umit": ("Ümit", "Dağlı"),
    "berfin": ("Berfin", "Şanlı"),
    "ufuk": ("Ufuk", "İnal"),
}
"""Staff key to first and last name."""

COACHING = ("members_read", "check_in")
DESK = ("members_read", "members_write", "check_in", "classes_write", "finance_read")
MANAGER = (*DESK, "facility_write", "staff_write", "plans_write", "finance_write", "analytics_read", "audit_read")


def _coach(person: str) -> Staff:
    return Staff(person, "coach", COACHING)


_LATE: tuple[Hours | None, ...] = (
    *[("06:00", "23:30")] * 4,
    ("06:00", "01:30"),
    ("08:00", "00:30"),
    ("08:00", "22:00"),
)
_DAY: tuple[Hours | None, ...] = (*[("06:30", "23:00")] * 5, ("09:00", "21:00"), ("09:00", "20:00"))
_STUDIO: tuple[Hours | None, ...] = (*[("08:00", "21:30")] * 5, ("09:00", "18:00"), None)

_GYM_EQUIPMENT = (
    "Koşu bandı|cardio|18|Yelken",
    "Kondisyon bisikleti|cardio|12|Yelken",
    "Kürek makinesi|cardio|6|Dalga",
    "Güç kafesi|strength|5|Örs",
    "Olimpik bar|strength|10|Örs",
    "Dambıl seti|strength|2|Örs",
    "Leg press|strength|2|Tuna",
    "Kablo istasyonu|strength|4|Tuna",
    "Lat pulldown|strength|3|Tuna",
    "Kettlebell|functional|24|Örs",
    "Spinning bisikleti|class|22|Yelken",
)
_STUDIO_EQUIPMENT = (
    "Reformer|pilates|8|Söğüt",
    "Cadillac|pilates|2|Söğüt",
    "Yoga matı|yoga|24|Söğüt",
    "Pilates topu|pilates|20|Söğüt",
    "Denge tahtası|functional|10|Söğüt",
)

_GYM_AMENITIES = ("duş", "sauna", "kilitli dolap", "wifi", "kafe", "havlu")


def _gym_plans(monthly: int) -> tuple[Plan, ...]:
    """The chain's plans around one monthly price in TRY."""
    return (
        Plan(
            "monthly",
            "Aylık Sınırsız",
            "Her gün, her saat; grup dersleri dahil.",
            1,
            f"{monthly}.00",
            34,
            ("Sınırsız giriş", "Grup dersleri", "Haftada 6 ders rezervasyonu"),
            bookings_per_week=6,
        ),
        Plan(
            "quarterly",
            "3 Aylık",
            "Üç ay boyunca sınırsız giriş, aylıktan daha uygun.",
            3,
            f"{monthly * 270 // 100}.00",
            22,
            ("Sınırsız giriş", "Grup dersleri", "1 deneme PT seansı"),
            bookings_per_week=6,
            pt_sessions=1,
        ),
        Plan(
            "yearly",
            "Yıllık",
            "On iki ay, iki ayı bizden.",
            12,
            f"{monthly * 10}.00",
            16,
            ("Sınırsız giriş", "Grup dersleri", "Ölçüm ve program", "2 PT seansı"),
            bookings_per_week=8,
            pt_sessions=2,
        ),
        Plan(
            "student",
            "Öğrenci Aylık",
            "Öğrenci belgesiyle; haftada beş giriş.",
            1,
            f"{monthly * 65 // 100}.00",
            18,
            ("Haftada 5 giriş", "Grup dersleri"),
            visits_per_week=5,
            bookings_per_week=3,
        ),
        Plan(
            "daytime",
            "Gündüz",
            "Haftada üç giriş, ders yok; yalnız antrenman yapanlara.",
            1,
            f"{monthly * 55 // 100}.00",
            10,
            ("Haftada 3 giriş",),
            visits_per_week=3,
            classes=False,
        ),
    )


_STUDIO_PLANS = (
    Plan(
        "monthly8",
        "Aylık 8 Ders",
        "Haftada iki mat veya yoga dersi.",
        1,
        "2600.00",
        40,
        ("Haftada 2 ders",),
        bookings_per_week=2,
    ),
    Plan(
        "unlimited",
        "Aylık Sınırsız Ders",
        "İstediğiniz kadar ders, önceden rezervasyonla.",
        1,
        "3900.00",
        25,
        ("Sınırsız ders", "Mat kirası dahil"),
    ),
    Plan(
        "reformer",
        "3 Aylık Reformer",
        "Küçük grupla reformer; haftada iki ders.",
        3,
        "10800.00",
        25,
        ("Haftada 2 reformer dersi", "Başlangıç değerlendirmesi"),
        bookings_per_week=2,
        pt_sessions=1,
    ),
    Plan(
        "student",
        "Öğrenci Yoga",
        "Öğrencilere haftada iki yoga dersi.",
        1,
        "1650.00",
        10,
        ("Haftada 2 yoga dersi",),
        bookings_per_week=2,
    ),
)

PLACES = (
    Place(
        "kadikoy",
        "chain",
        "gym",
        "Çınar Spor Kadıköy",
        "Ihlamurlu Sokak No: 14",
        "Kadıköy",
        "İstanbul",
        "34710",
        29.0267,
        40.9903,
        "+902160000101",
        "kadikoy@cinarspor.example",
        _LATE,
        (*_GYM_AMENITIES, "otopark", "çocuk odası"),
        ("Gece açık", "Serbest ağırlık katı", "Spinning salonu"),
        _GYM_EQUIPMENT,
        (
            Staff("hakan", "manager", MANAGER),
            Staff("desk", "reception", DESK),
            _coach("coach"),
            _coach("ilayda"),
            _coach("orcun"),
        ),
        _gym_plans(2200),
        "KAD",
        32,
    ),
    Place(
        "besiktas",
        "chain",
        "gym",
        "Çınar Spor Beşiktaş",
        "Fıstıklı Yokuş No: 3",
        "Beşiktaş",
        "İstanbul",
        "34353",
        29.0072,
        41.0428,
        "+902120000102",
        "besiktas@cinarspor.example",
        _LATE,
        _GYM_AMENITIES,
        ("Gece açık", "Boks ringi"),
        _GYM_EQUIPMENT,
        (Staff("gulsum", "manager", MANAGER), _coach("coach"), _coach("cagri")),
        _gym_plans(2400),
        "BES",
        22,
    ),
    Place(
        "cankaya",
        "chain",
        "gym",
        "Çınar Spor Çankaya",
        "Akçaağaç Caddesi No: 52",
        "Çankaya",
        "Ankara",
        "06690",
        32.8597,
        39.9032,
        "+903120000103",
        "cankaya@cinarspor.example",
        _DAY,
        (*_GYM_AMENITIES, "otopark", "yüzme havuzu"),
        ("Yarı olimpik havuz", "Fonksiyonel alan"),
        (*_GYM_EQUIPMENT, "Kulvar bonesi|swim|40|Dalga"),
        (Staff("irem", "manager", MANAGER), _coach("umit"), _coach("sezin")),
        _gym_plans(1900),
        "CAN",
        20,
    ),
    Place(
        "karsiyaka",
        "chain",
        "gym",
        "Çınar Spor Karşıyaka",
        "Yalı Boyu No: 77",
        "Karşıyaka",
        "İzmir",
        "35580",
        27.1106,
        38.4561,
        "+902320000104",
        "karsiyaka@cinarspor.example",
        _DAY,
        (*_GYM_AMENITIES, "teras"),
        ("Deniz manzarası", "Açık hava alanı"),
        _GYM_EQUIPMENT,
        (Staff("desk", "reception", ("members_read", "check_in")), _coach("ufuk"), _coach("berfin")),
        _gym_plans(1850),
        "KSY",
        14,
    ),
    Place(
        "nefes",
        "studio",
        "studio",
        "Stüdyo Nefes Alsancak",
        "Sardunya Sokak No: 9 Kat: 1",
        "Konak",
        "İzmir",
        "35220",
        27.1437,
        38.4355,
        "+902320000105",
        "merhaba@studyonefes.example",
        _STUDIO,
        ("duş", "kilitli dolap", "wifi", "çay köşesi"),
        ("Küçük gruplar", "Reformer salonu"),
        _STUDIO_EQUIPMENT,
        (_coach("berfin"), _coach("sezin")),
        _STUDIO_PLANS,
        "NFS",
        12,
    ),
)
