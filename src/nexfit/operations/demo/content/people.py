"""Names of the demo's invented people. Emails are derived by folding; no row describes a real person."""

from __future__ import annotations

WOMEN = (
    *("Ayşe", "Zeynep", "Elif", "Defne", "Hatice", "Özge", "Şule", "Gökçe", "Çiğdem", "İpek", "Büşra", "Gülşah"),
    *("Meryem", "Nehir", "Pınar", "Tuğçe", "Yağmur", "Sıla", "Ezgi", "Derya", "Işıl", "Nurgül", "Beril", "Aslı"),
    *("Ceren", "Dilara", "Ebru", "Feride", "Gizem", "Hande", "İdil", "Kübra", "Lale", "Melisa", "Nazlı", "Öykü"),
    *("Pelin", "Rüya", "Selin", "Şeyma", "Tuba", "Ülkü", "Vildan", "Yasemin", "Zehra", "Burcu", "Esra", "Müge"),
)

MEN = (
    *("Mehmet", "Mustafa", "Ahmet", "Emre", "Çağatay", "Oğuzhan", "Şahin", "İbrahim", "Göktuğ", "Barış", "Ömer"),
    *("Uğur", "Yiğit", "Kağan", "Tolga", "Serkan", "Doğukan", "Erdem", "Furkan", "Gürkan", "Halil", "İsmail"),
    *("Kerem", "Levent", "Murat", "Necati", "Onur", "Ozan", "Poyraz", "Rıza", "Sinan", "Şükrü", "Taylan", "Umut"),
    *("Ünal", "Volkan", "Yasin", "Zafer", "Alper", "Berkay", "Cem", "Deniz", "Ege", "Fatih", "Görkem", "Hüseyin"),
)

SURNAMES = (
    *("Yılmaz", "Kaya", "Demir", "Çelik", "Şahin", "Yıldız", "Öztürk", "Aydın", "Özdemir", "Arslan", "Doğan"),
    *("Kılıç", "Aslan", "Çetin", "Kara", "Koç", "Kurt", "Özkan", "Şimşek", "Polat", "Korkmaz", "Çakır", "Erdoğan"),
    *("Yavuz", "Can", "Acar", "Güneş", "Bulut", "Işık", "Tekin", "Avcı", "Sarı", "Keskin", "Ünal", "Coşkun"),
    *("Güler", "Taş", "Turan", "Yalçın", "Bozkurt", "Karataş", "Gül", "Ateş", "Uçar", "Ekinci", "İnce", "Durmaz"),
    *("Sönmez", "Tunç", "Uysal", "Ergin", "Bayrak", "Çınarlı", "Toprak", "Dağdelen", "Güngör", "Soylu", "Altıntaş"),
    *("Akbulut", "Özgür", "Kızıltan", "Sezer", "Başaran", "Irmak", "Ölmez", "Şenol", "Günay", "Yüksel", "Ayhan"),
)

GOALS = ("Kilo vermek", "Kas kazanmak", "Kondisyon", "Sırt sağlığı", "Yarı maraton", "Esneklik", "Stres atmak")

LEVELS = ("beginner", "intermediate", "advanced")

DIETS = ("vejetaryen", "glutensiz", "laktozsuz", "vegan")

CONDITIONS = ("astım", "yüksek tansiyon", "bel fıtığı", "diz menisküs ameliyatı", "tip 2 diyabet", "migren")

SPECIALIZATIONS = ("Kuvvet", "Fonksiyonel antrenman", "Pilates", "Yoga", "Spinning", "Boks", "Yüzme", "Beslenme")

CERTIFICATIONS = (
    "Fitness antrenörlüğü 2. kademe",
    "Mat pilates eğitmenliği",
    "Yoga eğitmenliği 200 saat",
    "İlk yardım",
    "Kettlebell eğitmenliği",
)

BIOS = (
    "On yılı aşkın süredir yeni başlayanları güvenle ağırlık çalışmasına alıştırıyorum.",
    "Masa başı çalışanların sırt ve boyun ağrılarına hareketle çare arıyorum.",
    "Yarışmacı bir yüzücüydüm; şimdi dayanıklılığı keyifle öğretiyorum.",
    "Ölçmeden gelişme olmaz: her seansın sonunda bir sonraki hedef bellidir.",
    "Nefesle başlayan derslerim, güçle biter.",
)

VISIBLE_NOTES = (
    "Bu hafta tempo iyiydi, ağırlığı yüzde beş artırıyoruz.",
    "Uyku düzenine dikkat; iki günü hafif tutalım.",
    "Çömelmede derinlik belirgin biçimde arttı.",
)

PRIVATE_NOTES = (
    "Sol omuzda hassasiyet var, baş üstü itişte açıyı daralt.",
    "İş stresi yüksek; yoğunluğu birlikte seçmek motivasyonu artırıyor.",
    "Paket bitmeden önce ara ölçüm öner.",
)

CANCEL_REASONS = ("Taşındım", "Yeterince gelemiyorum", "Bütçe", "Sağlık", "Başka salona geçtim")

WORKOUT_NOTES = ("Güçlü bir gündü.", "Son setler zordu.", "Formu korudum.", "Kısa ama yoğun.", "Biraz yorgundum.")
