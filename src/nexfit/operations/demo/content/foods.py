"""Eighty everyday foods with round, generally known figures per 100 g (or 100 ml), and a usual portion.

One line a food: Turkish | English | category | kcal | protein g | carbs g | fat g | fibre g | sugar g | sodium mg |
portion g | portion's name.
"""

from __future__ import annotations

FOODS = """
Tavuk göğsü, ızgara | Chicken breast, grilled | meat | 165 | 31 | 0 | 3.6 | 0 | 0 | 74 | 150 | porsiyon
Hindi göğsü | Turkey breast | meat | 135 | 29 | 0 | 1.7 | 0 | 0 | 60 | 150 | porsiyon
Dana bonfile, ızgara | Beef tenderloin, grilled | meat | 205 | 29 | 0 | 9.5 | 0 | 0 | 58 | 150 | porsiyon
Kıyma, yağsız, pişmiş | Lean minced beef, cooked | meat | 215 | 26 | 0 | 12 | 0 | 0 | 72 | 120 | porsiyon
Kuzu but, fırın | Leg of lamb, roasted | meat | 235 | 26 | 0 | 14 | 0 | 0 | 66 | 130 | porsiyon
Köfte, ızgara | Grilled meatballs | meat | 240 | 19 | 5 | 16 | 0.5 | 0.8 | 480 | 120 | porsiyon
Pastırma | Cured beef | meat | 210 | 32 | 1 | 9 | 0 | 0 | 1800 | 20 | dilim
Sucuk | Spiced sausage | meat | 410 | 19 | 2 | 36 | 0.2 | 0.5 | 1500 | 30 | porsiyon
Somon, fırın | Salmon, baked | fish | 206 | 22 | 0 | 13 | 0 | 0 | 60 | 150 | porsiyon
Levrek, ızgara | Sea bass, grilled | fish | 125 | 24 | 0 | 2.6 | 0 | 0 | 87 | 180 | porsiyon
Hamsi, fırın | Anchovy, baked | fish | 170 | 24 | 0 | 8 | 0 | 0 | 110 | 150 | porsiyon
Ton balığı, konserve, süzülmüş | Tuna, canned, drained | fish | 120 | 26 | 0 | 1 | 0 | 0 | 330 | 80 | kutu
Karides, haşlanmış | Shrimp, boiled | fish | 99 | 24 | 0.2 | 0.3 | 0 | 0 | 220 | 100 | porsiyon
Yumurta, haşlanmış | Egg, boiled | egg | 155 | 12.6 | 1.1 | 10.6 | 0 | 1.1 | 124 | 50 | adet
Yumurta beyazı | Egg white | egg | 52 | 11 | 0.7 | 0.2 | 0 | 0.7 | 166 | 33 | adet
Menemen | Scrambled eggs with tomato | egg | 95 | 5 | 4 | 6.5 | 1 | 3 | 240 | 200 | tabak
Süt, tam yağlı | Milk, whole | dairy | 62 | 3.2 | 4.7 | 3.3 | 0 | 4.7 | 43 | 200 | bardak
Süt, yarım yağlı | Milk, semi-skimmed | dairy | 47 | 3.3 | 4.8 | 1.6 | 0 | 4.8 | 44 | 200 | bardak
Yoğurt, tam yağlı | Yogurt, whole | dairy | 62 | 3.5 | 4.7 | 3.3 | 0 | 4.7 | 46 | 200 | kase
Süzme yoğurt | Strained yogurt | dairy | 110 | 9 | 4 | 6.5 | 0 | 4 | 40 | 150 | kase
Ayran | Salted yogurt drink | dairy | 35 | 1.8 | 2.6 | 1.8 | 0 | 2.6 | 210 | 200 | bardak
Kefir, sade | Kefir, plain | dairy | 56 | 3.3 | 4.5 | 3 | 0 | 4.5 | 45 | 200 | bardak
Beyaz peynir | White cheese | dairy | 265 | 16 | 2 | 21.5 | 0 | 2 | 1100 | 30 | dilim
Kaşar peyniri | Kashar cheese | dairy | 370 | 25 | 2 | 29 | 0 | 0.5 | 750 | 30 | dilim
Lor peyniri | Curd cheese | dairy | 98 | 12 | 3.5 | 4 | 0 | 3 | 350 | 60 | porsiyon
Peynir altı suyu proteini | Whey protein powder | supplement | 390 | 78 | 8 | 6 | 0.5 | 6 | 250 | 30 | ölçek
Mercimek çorbası | Red lentil soup | soup | 60 | 3.2 | 8.5 | 1.5 | 1.6 | 1 | 300 | 250 | kase
Ezogelin çorbası | Ezogelin soup | soup | 65 | 2.8 | 10 | 1.7 | 1.4 | 1.2 | 320 | 250 | kase
Yayla çorbası | Yogurt soup with rice | soup | 58 | 2.4 | 7 | 2.2 | 0.2 | 2 | 310 | 250 | kase
Kuru fasulye, pişmiş | White bean stew | legume | 115 | 6.5 | 16 | 2.8 | 5 | 1.5 | 280 | 200 | tabak
Nohut, haşlanmış | Chickpeas, boiled | legume | 164 | 8.9 | 27 | 2.6 | 7.6 | 4.8 | 7 | 150 | porsiyon
Yeşil mercimek, haşlanmış | Green lentils, boiled | legume | 116 | 9 | 20 | 0.4 | 7.9 | 1.8 | 2 | 150 | porsiyon
Barbunya, zeytinyağlı | Borlotti beans in olive oil | legume | 130 | 6 | 16 | 5 | 6 | 2.5 | 240 | 180 | tabak
Humus | Hummus | legume | 240 | 7.5 | 15 | 17 | 5.5 | 1 | 400 | 60 | porsiyon
Soya fasulyesi, haşlanmış | Soybeans, boiled | legume | 172 | 18 | 8.5 | 9 | 6 | 3 | 1 | 100 | porsiyon
Bulgur pilavı | Bulgur pilaf | grain | 125 | 3.5 | 22 | 3 | 4 | 0.8 | 260 | 150 | tabak
Pirinç pilavı | Rice pilaf | grain | 160 | 2.8 | 29 | 3.6 | 0.5 | 0.1 | 270 | 150 | tabak
Esmer pirinç, pişmiş | Brown rice, cooked | grain | 112 | 2.6 | 23.5 | 0.9 | 1.8 | 0.4 | 5 | 150 | tabak
Makarna, haşlanmış | Pasta, boiled | grain | 158 | 5.8 | 31 | 0.9 | 1.8 | 0.6 | 1 | 180 | tabak
Kinoa, haşlanmış | Quinoa, boiled | grain | 120 | 4.4 | 21.3 | 1.9 | 2.8 | 0.9 | 7 | 150 | tabak
Karabuğday, haşlanmış | Buckwheat, boiled | grain | 92 | 3.4 | 20 | 0.6 | 2.7 | 0.9 | 4 | 150 | tabak
Yulaf ezmesi | Rolled oats | grain | 375 | 13 | 60 | 7 | 10 | 1 | 6 | 50 | porsiyon
Tam buğday ekmeği | Whole wheat bread | bread | 247 | 12 | 41 | 3.4 | 7 | 5 | 450 | 30 | dilim
Beyaz ekmek | White bread | bread | 265 | 8.5 | 50 | 2.5 | 2.5 | 4 | 490 | 30 | dilim
Çavdar ekmeği | Rye bread | bread | 250 | 8.5 | 47 | 3 | 6 | 4 | 560 | 30 | dilim
Simit | Sesame bread ring | bread | 310 | 10 | 56 | 6 | 3 | 5 | 500 | 110 | adet
Lavaş | Flatbread | bread | 275 | 9 | 55 | 1.8 | 2.2 | 2 | 480 | 60 | adet
Lahmacun | Thin flatbread with mince | dish | 215 | 10 | 29 | 6.5 | 2 | 2 | 430 | 140 | adet
Zeytinyağlı yaprak sarma | Stuffed vine leaves | dish | 175 | 3 | 22 | 8.5 | 3 | 3 | 520 | 120 | porsiyon
İmam bayıldı | Stuffed aubergine in olive oil | dish | 105 | 1.4 | 8 | 7.6 | 3.2 | 4.5 | 210 | 180 | porsiyon
Mantı, yoğurtlu | Dumplings with yogurt | dish | 180 | 8 | 23 | 6 | 1 | 2.5 | 350 | 250 | tabak
Çoban salata | Shepherd's salad | vegetable | 55 | 1.1 | 4.5 | 3.7 | 1.4 | 3 | 160 | 150 | kase
Domates | Tomato | vegetable | 18 | 0.9 | 3.9 | 0.2 | 1.2 | 2.6 | 5 | 120 | adet
Salatalık | Cucumber | vegetable | 15 | 0.7 | 3.6 | 0.1 | 0.5 | 1.7 | 2 | 120 | adet
Brokoli, buharda | Broccoli, steamed | vegetable | 35 | 2.4 | 7 | 0.4 | 3.3 | 1.4 | 41 | 150 | porsiyon
Ispanak, haşlanmış | Spinach, boiled | vegetable | 23 | 3 | 3.8 | 0.3 | 2.4 | 0.4 | 70 | 150 | porsiyon
Kabak, ızgara | Courgette, grilled | vegetable | 22 | 1.4 | 3.5 | 0.4 | 1.1 | 2.5 | 6 | 150 | porsiyon
Patlıcan, közlenmiş | Aubergine, fire-roasted | vegetable | 33 | 1 | 8 | 0.2 | 2.5 | 3.2 | 2 | 150 | porsiyon
Havuç | Carrot | vegetable | 41 | 0.9 | 9.6 | 0.2 | 2.8 | 4.7 | 69 | 80 | adet
Kırmızı biber | Red pepper | vegetable | 31 | 1 | 6 | 0.3 | 2.1 | 4.2 | 4 | 120 | adet
Patates, haşlanmış | Potato, boiled | vegetable | 86 | 1.8 | 20 | 0.1 | 1.8 | 0.9 | 5 | 150 | adet
Tatlı patates, fırın | Sweet potato, baked | vegetable | 90 | 2 | 20.7 | 0.2 | 3.3 | 6.5 | 36 | 150 | adet
Elma | Apple | fruit | 52 | 0.3 | 14 | 0.2 | 2.4 | 10.4 | 1 | 180 | adet
Muz | Banana | fruit | 89 | 1.1 | 23 | 0.3 | 2.6 | 12.2 | 1 | 120 | adet
Portakal | Orange | fruit | 47 | 0.9 | 11.8 | 0.1 | 2.4 | 9.4 | 0 | 160 | adet
Çilek | Strawberry | fruit | 32 | 0.7 | 7.7 | 0.3 | 2 | 4.9 | 1 | 150 | kase
Karpuz | Watermelon | fruit | 30 | 0.6 | 7.6 | 0.2 | 0.4 | 6.2 | 1 | 250 | dilim
İncir, kuru | Fig, dried | fruit | 249 | 3.3 | 64 | 0.9 | 9.8 | 48 | 10 | 20 | adet
Hurma | Date | fruit | 280 | 2.4 | 75 | 0.4 | 8 | 64 | 2 | 20 | adet
Avokado | Avocado | fruit | 160 | 2 | 8.5 | 14.7 | 6.7 | 0.7 | 7 | 100 | yarım
Badem | Almond | nut | 579 | 21 | 21.6 | 50 | 12.5 | 4.4 | 1 | 25 | avuç
Ceviz | Walnut | nut | 654 | 15.2 | 13.7 | 65 | 6.7 | 2.6 | 2 | 25 | avuç
Fındık | Hazelnut | nut | 628 | 15 | 16.7 | 60.8 | 9.7 | 4.3 | 0 | 25 | avuç
Fıstık ezmesi | Peanut butter | nut | 590 | 25 | 20 | 50 | 6 | 9 | 420 | 20 | kaşık
Kabak çekirdeği | Pumpkin seeds | nut | 559 | 30 | 10.7 | 49 | 6 | 1.4 | 7 | 25 | avuç
Zeytin, siyah | Black olives | fat | 145 | 1 | 4 | 14 | 3 | 0 | 1200 | 25 | porsiyon
Zeytinyağı | Olive oil | fat | 884 | 0 | 0 | 100 | 0 | 0 | 2 | 10 | kaşık
Tahin | Tahini | fat | 595 | 17 | 21 | 54 | 9 | 0.5 | 115 | 15 | kaşık
Bal | Honey | sweet | 304 | 0.3 | 82 | 0 | 0.2 | 82 | 4 | 15 | kaşık
Bitter çikolata, %70 | Dark chocolate, 70% | sweet | 580 | 8 | 45 | 42 | 11 | 28 | 15 | 20 | parça
"""
