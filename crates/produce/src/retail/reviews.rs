//! What customers write, in twelve languages. No text holds what JSON would have to escape.

use crate::dice::Dice;

/// How a review was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// The customer is happy.
    Positive,
    /// The customer is not.
    Negative,
}

/// A review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Review {
    /// ISO 639-1.
    pub language: &'static str,
    /// How it was meant.
    pub tone: Tone,
    /// What was written.
    pub text: &'static str,
}

struct Language {
    code: &'static str,
    positive: &'static [&'static str],
    negative: &'static [&'static str],
}

/// A review; three of four in the language of the shop, the others in any.
pub(super) fn review(dice: &mut Dice, of_store: &str) -> Review {
    let own = LANGUAGES.iter().find(|known| known.code == of_store);
    let language = match own {
        Some(own) if dice.below(4) > 0 => own,
        _ => dice.one_of(&LANGUAGES),
    };
    let (tone, texts) = if dice.below(100) < 65 {
        (Tone::Positive, language.positive)
    } else {
        (Tone::Negative, language.negative)
    };
    Review {
        language: language.code,
        tone,
        text: dice.one_of::<&str>(texts),
    }
}

const LANGUAGES: [Language; 12] = [
    Language {
        code: "en",
        positive: &[
            "I love it! The quality is excellent and the staff were wonderful and very helpful.",
            "Great value for money, it works perfectly and I am very happy with this purchase.",
            "Fantastic product, beautiful design, and the delivery was amazingly fast. Thank you!",
            "The best shop in town: friendly people, good prices and a nice atmosphere.",
            "Absolutely delighted with this, it made my morning so much better. Highly recommended!",
            "A lovely gift, my sister was thrilled and the wrapping was gorgeous.",
        ],
        negative: &[
            "Terrible quality, it broke after two days and nobody wanted to help me. Very disappointed.",
            "I hate this product. It is ugly, useless and far too expensive.",
            "The worst service I have ever seen, rude staff and a horrible long queue.",
            "It arrived damaged, the refund was refused, and I am really angry about this awful shop.",
            "Poor material and a bad smell, a complete waste of money.",
            "Sadly it stopped working at once and the manual is a confusing mess. I regret buying it.",
        ],
    },
    Language {
        code: "fr",
        positive: &[
            "Je suis très contente de mon achat, la qualité est excellente et le prix vraiment correct.",
            "Un accueil chaleureux et des vendeurs qui connaissent bien leurs produits, merci beaucoup !",
            "La livraison était rapide et le produit est magnifique, je le recommande à tout le monde.",
        ],
        negative: &[
            "Quelle déception, l'appareil est tombé en panne au bout de deux jours et personne ne répond.",
            "Le service est déplorable, j'ai attendu une heure à la caisse et le vendeur était désagréable.",
            "Très mauvaise qualité pour un prix pareil, je ne reviendrai jamais dans ce magasin.",
        ],
    },
    Language {
        code: "de",
        positive: &[
            "Ich bin sehr zufrieden, die Qualität ist ausgezeichnet und die Beratung war wirklich freundlich.",
            "Ein wunderschönes Geschenk, meine Mutter hat sich riesig darüber gefreut, vielen Dank!",
            "Schnelle Lieferung, guter Preis und alles funktioniert einwandfrei, gerne wieder.",
        ],
        negative: &[
            "Leider eine große Enttäuschung, das Gerät ging nach zwei Tagen kaputt und niemand hilft mir.",
            "Schlechte Verarbeitung und ein unangenehmer Geruch, ich werde hier nichts mehr kaufen.",
            "Der Verkäufer war unhöflich und die Schlange an der Kasse furchtbar lang.",
        ],
    },
    Language {
        code: "es",
        positive: &[
            "Estoy encantada con la compra, la calidad es excelente y me atendieron de maravilla.",
            "El envío llegó rapidísimo y el producto es precioso, lo recomiendo sin ninguna duda.",
            "Muy buena tienda, los precios son justos y los empleados siempre están dispuestos a ayudar.",
        ],
        negative: &[
            "Una decepción total, dejó de funcionar a los dos días y nadie quiere devolverme el dinero.",
            "El servicio fue pésimo, esperé una hora en la caja y el vendedor me trató muy mal.",
            "La calidad es horrible para lo que cuesta, no volveré a comprar nunca más aquí.",
        ],
    },
    Language {
        code: "it",
        positive: &[
            "Sono molto soddisfatta dell'acquisto, la qualità è ottima e il personale davvero gentile.",
            "La consegna è stata velocissima e il prodotto è bellissimo, lo consiglio a tutti.",
            "Un negozio meraviglioso, i prezzi sono giusti e ci torno sempre molto volentieri.",
        ],
        negative: &[
            "Che delusione, si è rotto dopo due giorni e nessuno vuole restituirmi i soldi.",
            "Il servizio è pessimo, ho aspettato un'ora alla cassa e il commesso era maleducato.",
            "Qualità scadente e prezzo troppo alto, non comprerò mai più niente in questo negozio.",
        ],
    },
    Language {
        code: "pt",
        positive: &[
            "Estou muito feliz com a compra, a qualidade é excelente e o atendimento foi maravilhoso.",
            "A entrega foi rápida e o produto é lindo, recomendo a loja a todos os meus amigos.",
            "Ótima experiência, os preços são bons e os funcionários são sempre muito simpáticos.",
        ],
        negative: &[
            "Que desilusão, o aparelho avariou ao fim de dois dias e ninguém me quer ajudar.",
            "O atendimento foi péssimo, esperei uma hora na fila e o vendedor foi mal-educado.",
            "A qualidade é muito má para o preço que paguei, não volto a comprar nesta loja.",
        ],
    },
    Language {
        code: "nl",
        positive: &[
            "Ik ben erg blij met mijn aankoop, de kwaliteit is uitstekend en het personeel heel vriendelijk.",
            "De bezorging was snel en het product is prachtig, ik raad het iedereen van harte aan.",
            "Een heerlijke winkel met eerlijke prijzen, we komen hier zeker nog een keer terug.",
        ],
        negative: &[
            "Wat een teleurstelling, het apparaat was na twee dagen kapot en niemand wil me helpen.",
            "De service is waardeloos, ik stond een uur in de rij en de verkoper was onbeleefd.",
            "Slechte kwaliteit voor veel te veel geld, ik koop hier nooit meer iets.",
        ],
    },
    Language {
        code: "sv",
        positive: &[
            "Jag är väldigt nöjd med mitt köp, kvaliteten är utmärkt och personalen var jättetrevlig.",
            "Leveransen gick snabbt och produkten är underbar, jag rekommenderar den till alla.",
            "En mycket bra butik med rimliga priser, vi kommer gärna tillbaka hit igen.",
        ],
        negative: &[
            "Vilken besvikelse, den gick sönder efter två dagar och ingen vill hjälpa mig.",
            "Servicen var bedrövlig, jag fick vänta en timme i kassan och säljaren var otrevlig.",
            "Dålig kvalitet för alldeles för mycket pengar, jag handlar aldrig här igen.",
        ],
    },
    Language {
        code: "pl",
        positive: &[
            "Jestem bardzo zadowolona z zakupu, jakość jest doskonała, a obsługa naprawdę miła.",
            "Dostawa była błyskawiczna, a produkt jest przepiękny, polecam go wszystkim znajomym.",
            "Świetny sklep, uczciwe ceny i sprzedawcy, którzy zawsze chętnie pomagają.",
        ],
        negative: &[
            "Ogromne rozczarowanie, sprzęt zepsuł się po dwóch dniach i nikt nie chce mi pomóc.",
            "Obsługa była okropna, czekałem godzinę w kolejce, a sprzedawca był niegrzeczny.",
            "Fatalna jakość za zbyt wysoką cenę, nigdy więcej nie kupię niczego w tym sklepie.",
        ],
    },
    Language {
        code: "ru",
        positive: &[
            "Я очень довольна покупкой, качество отличное, а продавцы приветливые и внимательные.",
            "Доставили быстро, вещь прекрасная, советую этот магазин всем своим друзьям.",
            "Замечательный магазин, цены разумные, и нам всегда приятно сюда возвращаться.",
        ],
        negative: &[
            "Полное разочарование, прибор сломался через два дня, и никто не хочет мне помочь.",
            "Обслуживание ужасное, я целый час стоял в очереди, а продавец мне нагрубил.",
            "Отвратительное качество за такие деньги, больше никогда здесь ничего не куплю.",
        ],
    },
    Language {
        code: "tr",
        positive: &[
            "Aldığım üründen çok memnunum, kalitesi mükemmel ve çalışanlar gerçekten çok yardımseverdi.",
            "Teslimat çok hızlıydı ve ürün harika görünüyor, bütün arkadaşlarıma tavsiye ederim.",
            "Çok güzel bir mağaza, fiyatlar uygun ve buraya her zaman severek geliyoruz.",
        ],
        negative: &[
            "Büyük bir hayal kırıklığı, cihaz iki gün sonra bozuldu ve kimse bana yardım etmek istemiyor.",
            "Hizmet berbattı, kasada bir saat bekledim ve satıcı bana çok kaba davrandı.",
            "Bu fiyata göre kalite çok kötü, bir daha bu mağazadan asla alışveriş yapmam.",
        ],
    },
    Language {
        code: "ja",
        positive: &[
            "とても気に入りました。品質が素晴らしく、店員さんも親切で大満足です。",
            "配送がとても早く、デザインも美しいので、みんなにおすすめしたいです。",
            "値段も手頃で雰囲気の良いお店です。また必ず買い物に来ます。",
        ],
        negative: &[
            "二日で壊れてしまい、とてもがっかりしました。誰も対応してくれません。",
            "接客が最悪でした。レジで一時間も待たされて、店員の態度もひどかったです。",
            "値段が高いのに品質が悪く、二度とこの店では買いません。",
        ],
    },
];
