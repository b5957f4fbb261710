/**
 * Words by which a message means the picture of the turn before it, for each language of the classifier. `points`: at the picture or at what
 * is on it; `edits`: what is done to a picture that is there; `creates`: a new subject is named, whatever else is said. The words are
 * alternatives of a regular expression, parted by a middle dot; in scripts with spaces they stand as whole words (`…`: the word may go on there).
 */
export type PictureWords = { points: string; edits: string; creates: string };

/** By ISO 639-1 code. */
export const SESSION_LEXICON: Readonly<Record<string, PictureWords>> = {
  en: {
    points: `(?<!time is )(?<!how is )(?<!how's )it(?! (?:raining|snowing|true|possible|legal|better to)) · its ·
      this(?! (?:year|week|month|time|morning|evening)) · (?:what|who|is|was|on|in|of|about)(?:'s| is)? that · these · those · he · him · she · her ·
      they · them · (?:picture|photo|image|drawing|painting|pic|illustration|screenshot)s? · colou?r · wearing · background · foreground · you see ·
      visible · happening · here`,
    edits: `make · add · remove · delete · erase · replace · change · swap · turn · rotate · flip · crop · zoom · brighten · darken · lighten · blur ·
      sharpen · redo · redraw · recolou?r · resize · retouch · give · put · move · with · without · instead · again · more · less · same · version ·
      darker · brighter · lighter · bigger · smaller · black and white`,
    creates: String.raw`(?:draw|paint|sketch|generate|create|design|illustrate|render|imagine)(?! (?:it|this|that|them|him|her|the same|again)) ·
      (?:make|give|show|do|now|and|then)(?: me| us)? (?:an?|another|some|two|three|several)(?! (?:\p{L}+ )?version) ·
      (?:picture|photo|image|drawing|painting|logo|poster|icon|portrait)s? (?:of|with|showing)(?! (?:it|this|that|them))`,
  },
  de: {
    points: `(?<!spät ist )(?<!geht )(?<!gibt )es(?! (?:gibt|geht|regnet|schneit)) · ihn · ihm · ihr · sie · er · da · das(?= (?:auf|hier|da|für)) · was ist das · wer ist das ·
      dies(?:e[mnrs]?)? · darauf · drauf · darin · davon · dran · (?:…)?bild(?:es|er|ern)? · foto · …farbe · hintergrund · vordergrund · siehst du ·
      zu sehen`,
    edits: `mach · mache · füge · hinzu · entfern… · lösch… · ersetz… · änder… · tausch… · dreh… · spiegel… · schneid… · zoom… · heller · dunkler · größer ·
      kleiner · mehr · weniger · ohne · mit · stattdessen · nochmal · noch mal · gleiche… · dasselbe · schwarz-?weiß · version · verwandle · gib`,
    creates: String.raw`(?:zeichne|male?|skizziere?|erstelle?|generiere?|entwirf|illustriere?)(?! (?:es|das nochmal|ihn|sie|nochmal)) ·
      (?:mach|mache|gib|zeig|jetzt|und|dann)(?: mir)? (?:eine?n?|noch eine?n?|zwei|drei)(?! (?:\p{L}+ )?version) ·
      (?:bild|foto|zeichnung|logo|plakat) (?:von|mit|einer?|eines)`,
  },
  fr: {
    points: `ça · cela · ceci · dessus · dedans · (?:rends|fais|mets|change|tourne|transforme|colorie|dessine|décris|traduis|regarde)-l(?:e|a|es|ui) ·
      celle-ci · celui-ci · (?:image|photo|dessin|tableau|illustration)s? · couleur · arrière-plan · fond · vois-tu · tu vois · on voit · il porte ·
      elle porte · c'est quoi · qui est-ce · lui · y a-t-il(?= (?:dessus|dedans))`,
    edits: `rends… · ajoute… · enlève… · retire… · supprime… · remplace… · change… · tourne… · transforme… · recadre… · éclairci… · assombri… · mets… · plus ·
      moins · sans · avec · encore · même · plutôt · noir et blanc · version · refais… · donne-lui · zoom…`,
    creates: String.raw`(?:dessine|peins|génère|crée|illustre|imagine)(?!-l)(?! (?:ça|encore)) ·
      (?:fais|donne|montre|maintenant|et|puis)(?:-moi|-nous| moi)? (?:une?|des|deux|trois)(?! (?:\p{L}+ )?version) ·
      (?:image|photo|dessin|logo|affiche|portrait)s? (?:de|d|avec|du|des)(?! (?:ça|cela))`,
  },
  es: {
    points: `eso · esto · est[ae]s? · ell?[ao]s? · él · …(?:z|n|r|l|g|b|j|d|t)(?:l[oa]s?|selo) · lo · (?:imagen|imágenes|foto|fotos|dibujo|cuadro) · color ·
      fondo · ves · ve · lleva puesto · ahí · aquí`,
    edits: `haz… · añad… · agreg… · quit… · elimin… · borr… · reempl… · cambi… · gir… · convi[eé]rt… · recort… · aclar… · oscur… · pon… · más · menos · sin ·
      con · otra vez · de nuevo · mism[oa] · blanco y negro · versión · dale · ponle`,
    creates: String.raw`(?:dibuja|pinta|genera|crea|diseña|ilustra|imagina)(?! (?:esto|eso|otra vez)) ·
      (?:haz|hazme|dame|muestra|muéstrame|ahora|y|luego) (?:me )?(?:una?|otr[oa]|unos|unas|dos|tres)(?! (?:\p{L}+ )?versión) ·
      (?:imagen|foto|dibujo|logo|cartel|retrato) (?:de|del|con)(?! (?:esto|eso))`,
  },
  it: {
    points: `quest[oaie] · quell[oaie] · ess[oa] · lui · lei · …(?:di|ndi|ai|ci|ti|gi|si|la|ungi|ogli|bia)l[oaie] · sopra · dentro ·
      (?:immagine|immagini|foto|disegno|quadro) · colore · sfondo · vedi · si vede · indossa`,
    edits: `rendi… · aggiungi… · togli… · rimuovi… · elimina… · cancella… · sostituisci… · cambia… · gira… · ruota… · trasforma… · ritaglia… · schiarisci… ·
      scurisci… · metti… · più · meno · senza · con · ancora · di nuovo · stess[oa] · bianco e nero · versione · dagli · dalle · falla · fallo`,
    creates: String.raw`(?:disegna|dipingi|genera|crea|illustra|immagina|progetta)(?!l[oa])(?! (?:questo|di nuovo)) ·
      (?:fai|fammi|dammi|mostrami|ora|adesso|e|poi) (?:una?|uno|un'|altr[oa]|due|tre)(?! (?:\p{L}+ )?versione) ·
      (?:immagine|foto|disegno|logo|poster|ritratto) (?:di|del|della|con)(?! (?:questo|quello))`,
  },
  pt: {
    points: `isso · isto · est[ea]s? · ess[ea]s? · el[ea]s? · nel[ea]s? · dele · dela · niss?t?o · …-[lno]?[oa]s? ·
      (?:imagem|imagens|foto|fotos|desenho|quadro) · cor · fundo · você vê · vês · se vê · vestindo · aí · aqui`,
    edits: `faça · faz · deixe? · torne? · adicion… · acrescent… · remov… · tir[ea] · apagu?[ea] · substitu… · mud[ea] · troqu?[ea] · gir[ea] · transform… ·
      recort… · clarei… · escure… · coloqu?[ea] · ponh?a · mais · menos · sem · com · de novo · novamente · mesm[oa] · preto e branco · versão`,
    creates: String.raw`(?:desenh[ea]|pint[ea]|ger[ea]|cri[ea]|ilustr[ea]|imagin[ea])(?!-[oa])(?! (?:isso|de novo)) ·
      (?:faça|faz|dê|mostre|agora|e|depois)(?:-me| me)? (?:uma?|outr[oa]|uns|umas|dois|duas|três)(?! (?:\p{L}+ )?versão) ·
      (?:imagem|foto|desenho|logo|cartaz|retrato) (?:de|do|da|com)(?! (?:isso|isto))`,
  },
  nl: {
    points: `het(?! (?:regent|weer))(?= |$) · erop · erin · eraan · ervan · dit · dat · deze · die · hem · haar · hij · zij ·
      (?:afbeelding|foto|plaatje|tekening|schilderij) · kleur · achtergrond · zie je · te zien`,
    edits: `maak · voeg · toe · verwijder · haal · wis · vervang · verander · wissel · draai · spiegel · zoom · licht… · donker… · groter · kleiner · meer ·
      minder · zonder · met · opnieuw · nog eens · nog een keer · zelfde · zwart-?wit · versie · geef · zet`,
    creates: String.raw`(?:teken|schilder|schets|genereer|creëer|ontwerp|illustreer)(?! (?:het|dit|dat|opnieuw|hem|haar)) ·
      (?:maak|geef|toon|nu|en|dan)(?: me| mij)? (?:een|nog een|twee|drie)(?! (?:\p{L}+ )?versie) ·
      (?:afbeelding|foto|plaatje|tekening|logo|poster) (?:van|met)(?! (?:dit|dat))`,
  },
  pl: {
    points: `to · tym · ten · ta · tej · nim · niej · jego · jej · go · ją · mu · on · ona · (?:obraz|zdjęci|rysun|fotogr)… · kolor… · tle · tło · widać ·
      widzisz · tutaj · tam`,
    edits: `zrób · dodaj · usuń · wymaż · zamień · zmień · obróć · odwróć · przytnij · rozjaśnij · przyciemnij · przekształć · daj · włóż · jaśniej… ·
      ciemniej… · większ… · mniejsz… · bardziej · więcej · mniej · bez · z · jeszcze raz · ponownie · tak[aio] sam… · czarno-biał… · wersj… · teraz z`,
    creates: String.raw`(?:narysuj|namaluj|naszkicuj|wygeneruj|stwórz|zaprojektuj|zilustruj)(?! (?:to|go|ją|jeszcze raz)) ·
      (?:obraz|zdjęcie|rysunek|logo|plakat|portret)(?:ek)? (?!tego)\p{L}+`,
  },
  ru: {
    points: `это · этом · эт(?:а|у|ой|от) · е[ёе] · ней · нём · нем · него · его · их · них · он · она · ему · там · здесь · тут ·
      (?:картин|изображени|фот|рисун)… · цвет… · фон… · видно · видишь · изображено · одет…`,
    edits: `сделай · добавь · убери · удали · сотри · замени · измени · поменяй · поверни · отрази · обрежь · осветли · затемни · преврати · дай · надень ·
      светлее · темнее · ярче · больше · меньше · более · без · с · со · ещё раз · еще раз · снова · так(?:ой|ую|ое) же · ч[её]рно-бел… · верси… ·
      перерисуй · теперь с`,
    creates: String.raw`(?:нарисуй|изобрази|создай|сгенерируй|набросай|придумай)(?! (?:это|его|е[ёе]|их|ещё раз|еще раз|снова)) ·
      (?:картинк|изображени|рисун|логотип|плакат|портрет)\p{L}* (?:с |со )?(?!это)\p{L}+`,
  },
  tr: {
    points: `bu · bunu · bunun · bunda · bundaki · onu · onun · onda · ona · o · şu · üzerinde · üstünde · içinde ·
      (?:resim|resm|fotoğraf|görsel|görüntü|çizim)… · reng… · renk… · arka ?plan… · görünüyor · görüyorsun · burada · orada`,
    edits: `yap · ekle · çıkar · kaldır · sil · değiştir · döndür · çevir · kırp · aydınlat · karart · dönüştür · koy · ver · daha · biraz · tekrar · yeniden ·
      aynı… · siyah-? ?beyaz · versiyon… · olmadan · …siz · …sız · yerine`,
    creates: String.raw`(?:bir|iki|üç) (?:\p{L}+ ){0,6}(?:çiz|yap|oluştur|tasarla|üret|resmet) · \p{L}+(?:nin|nın|nun|nün|in|ın|un|ün) (?:resmini|fotoğrafını|çizimini)`,
  },
  ar: {
    points: `هذا · هذه · ذلك · تلك · (?:في|ب|من|علي|ل|من)ها · فيه · عليه · به · …ل(?:ها|ه) · …(?:ها) · (?:ال)?صور… · (?:ال)?لوح… · (?:ال)?رسم(?:ة)? · لون… ·
      خلفي… · الخلفي… · ترى · يظهر · هنا · هناك`,
    edits: `اجعل… · أضف · اضف · أضيف · احذف · أزل · ازل · امسح · استبدل · غير · غيّر · بدل · أدر · اقلب · قص · فتح · غمق · حول… · حوّل… · ضع · أعط… · أغمق ·
      أفتح · أكبر · أصغر · أكثر · أقل · بدون · مع · مرة أخرى · نفس · أبيض وأسود · الأبيض والأسود · نسخة`,
    creates: String.raw`(?:ارسم|أرسم|صمم|أنشئ|انشئ|ولّد|ولد|لون) (?!(?:هذا|هذه|ها|مرة أخرى)(?!\p{L}))\p{L}+ · (?:صورة|رسمة|لوحة|شعار) (?:ل|عن|من|مع)?\p{L}+`,
  },
  hi: {
    points: `इस · इसे · इसमें · इसका · इसकी · इसके · इसको · उस · उसे · उसमें · उसका · उसकी · उसको · यह · ये · वह · वो · यहाँ · यहां · तस्वीर · फोटो · फ़ोटो ·
      चित्र · रंग · पृष्ठभूमि · बैकग्राउंड · दिख… · ise · isme · ismein · isko · iska · iski · usko · tasveer · photo`,
    edits: `करो · करें · कर दो · कर · बना दो · बनाओ · जोड़ो · जोड़ · जोड़ें · हटाओ · हटा · हटाएं · बदलो · बदल · बदलें · घुमाओ · काटो · डालो · और · ज़्यादा ·
      ज्यादा · कम · बिना · साथ · फिर से · दोबारा · वही · ब्लैक एंड व्हाइट · गहरा · हल्का · karo · kar do · hatao · jodo · badlo · bana do`,
    creates: String.raw`(?:एक|दो|तीन|ek) (?:\p{L}[\p{L}\p{M}]* ){0,6}(?:बनाओ|बनाएं|बना दो|खींचो|बना|चित्र|तस्वीर|banao|bana do)`,
  },
  zh: {
    points: `它 · 这 · 那(?!么) · 他 · 她 · 上面 · 里面 · 图片? · 照片 · 画面 · 画里 · 画中 · 颜色 · 背景 · 看到 · 看见 · 穿着`,
    edits: `把 · 将 · 改 · 变 · 换 · 加 · 添 · 去掉 · 去除 · 删 · 移除 · 擦 · 旋转 · 翻转 · 裁 · 放大 · 缩小 · 调 · 更 · 再 · 一点 · 一些 · 不要 · 没有 · 重新 · 同样 · 黑白 · 版本 · 给`,
    creates: `画(?:一|两|三|个|只|张|幅|些) · 生成(?!它|这) · 创建 · 设计 · (?:做|来|要)(?:一|个|张|幅)`,
  },
};
