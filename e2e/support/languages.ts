/** A sentence in each language of the classifier, and an encoding of before Unicode that its pages were written in. */
export const SENTENCES: Record<string, { text: string; encoding: string }> = {
  en: { text: 'The lighthouse keeper counts the ships every evening.', encoding: 'windows-1252' },
  de: { text: 'Der Leuchtturmwärter zählt jeden Abend die Schiffe draußen.', encoding: 'windows-1252' },
  fr: { text: 'Le gardien du phare compte les bateaux égarés à la tombée de la nuit.', encoding: 'windows-1252' },
  es: { text: 'El farero cuenta los barcos cada mañana y también por la noche.', encoding: 'windows-1252' },
  it: { text: 'Il guardiano del faro conta le navi finché può, perché è curioso.', encoding: 'windows-1252' },
  pt: { text: 'O faroleiro conta os navios à noite, até a manhã não são muitos.', encoding: 'windows-1252' },
  nl: { text: 'De vuurtorenwachter telt elke avond de schepen op zee, één voor één.', encoding: 'windows-1252' },
  pl: { text: 'Latarnik liczy każdego wieczoru statki, które mijają jego wyspę.', encoding: 'iso-8859-2' },
  ru: { text: 'Смотритель маяка каждый вечер считает корабли.', encoding: 'windows-1251' },
  tr: { text: 'Deniz feneri bekçisi her akşam gemileri sayıyor, ışığı yakıyor.', encoding: 'windows-1254' },
  ar: { text: 'يحسب حارس المنارة السفن كل مساء', encoding: 'windows-1256' },
  hi: { text: 'प्रकाशस्तंभ का रखवाला हर शाम जहाज़ गिनता है।', encoding: 'utf-16le' },
  zh: { text: '灯塔看守人每天晚上数船。', encoding: 'gbk' },
};
