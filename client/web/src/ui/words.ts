// Every word that the pages say, in Chinese and English.

export type Language = "zh" | "en";

const WORDS = {
  title: ["同游", "Tongyou"],
  motto: ["一座山城，一起走", "One mountain city, walked together"],
  place: ["重庆 · 渝中", "Chongqing · Yuzhong"],
  code: ["同游码", "Tour code"],
  codeHint: ["八个字母，向导会告诉你", "Eight letters; your guide has them"],
  name: ["你的名字", "Your name"],
  nameHint: ["别人会看到它", "The others will see it"],
  join: ["一起出发", "Join the tour"],
  joining: ["正在进入…", "Joining…"],
  language: ["English", "中文"],
  enterVr: ["进入 VR", "Enter VR"],
  exitVr: ["退出 VR", "Leave VR"],
  leave: ["离开", "Leave"],
  people: ["同行的人", "Who is here"],
  you: ["你", "you"],
  guide: ["向导", "guide"],
  simulated: ["模拟", "simulated"],
  connecting: ["正在连接…", "Connecting…"],
  firstPicture: ["画面马上就到…", "The picture is on its way…"],
  reconnecting: ["连接断了，正在回到原处…", "The connection was lost; going back to your place…"],
  standing: ["画面停住了，正在等服务器…", "The picture stands still: waiting for the server…"],
  back: ["已经回来了", "You are back"],
  nextStop: ["前往", "On to"],
  ended: ["这次同游结束了", "The tour has ended"],
  lost: ["连不上服务器", "The server can not be reached"],
  again: ["再试一次", "Try again"],
  home: ["回到首页", "Back to the start"],
  badCode: ["同游码是八个字母，例如 BCDF-GHJK。", "A code has eight letters, such as BCDF-GHJK."],
  badName: ["名字要有 1 到 24 个字。", "A name has 1 to 24 characters."],
  noWebTransport: [
    "这个浏览器太旧，无法连接（缺少 WebTransport）。请用新版的 Chrome、Edge、Quest 浏览器或 Safari 26.4 以上。",
    "This browser can not connect (it has no WebTransport). Use a recent Chrome, Edge or Quest Browser, or Safari 26.4 or later.",
  ],
  noWebCodecs: [
    "这个浏览器不能解码画面（缺少 WebCodecs）。",
    "This browser can not decode the picture (it has no WebCodecs).",
  ],
  noGpu: ["无法使用三维画面（WebGL 2）。", "3D graphics (WebGL 2) are not available."],
  refusedVersion: [
    "页面和服务器版本不同，请刷新页面。",
    "This page and the server have different versions; reload the page.",
  ],
  refusedCode: ["没有这个同游码，请再看一遍。", "There is no tour with this code; please look again."],
  refusedAttempts: ["试得太多了，请等一分钟。", "Too many attempts; please wait a minute."],
  refusedFull: ["这个团已经满了。", "This group is full."],
  refusedName: ["这个名字不能用，请换一个。", "This name can not be used; choose another."],
  refusedGrant: [
    "向导的许可已失效，请回到向导台。",
    "The guide's permission is no longer valid; go back to the console.",
  ],
  help: [
    "拖动转头 · WASD 挪动 · 点光圈或地面走过去 · X 选光圈，回车过去 · 数字键换位置 · G 走到眼前的地面 · R 回正",
    "Drag to look · WASD to lean · click a ring or the floor to go there · X picks a ring, Enter goes there · number keys change place · G goes to the floor ahead · R to recentre",
  ],
  skew: ["上一次换站与约定时刻相差", "How far from the agreed instant the last stop change came"],
  helpTouch: ["拖动转头 · 点光圈或地面走过去", "Drag to look · tap a ring or the floor to go there"],
  noRoom: [
    "现在没有余力单独为你画一个视角，你站到了最近的光圈。",
    "There is no room for a view of your own now; you stand at the nearest place.",
  ],
  roaming: ["自由走动", "off the rings"],
  watching: ["人在看大屏幕", "watching on a screen"],
  preview: ["预览", "Preview"],
  previewOf: ["预览：", "Preview: "],
  previewComing: ["预览马上就到…", "The preview is on its way…"],
  projector: ["大屏幕", "Big screen"],
  projectorMotto: ["不戴头显，也一起看", "Watch along without a headset"],
  watch: ["开始放映", "Show it"],
  fullScreen: ["全屏", "Full screen"],
  scanToJoin: ["扫码同游", "Scan to join"],
  openProjector: ["打开大屏幕", "Open the big screen"],
  keys: ["操作方法", "How to move"],
  helpGuide: ["按住鼠标右键或空格指给大家看", "Hold the right mouse button or the space bar to point"],
  look: ["全景画面：拖动或用方向键转头", "Panorama: drag or use the arrow keys to look around"],
  stops: ["站点", "Stops"],
  current: ["现在", "now"],
  next: ["下一站", "Next stop"],
  previous: ["上一站", "Previous"],
  end: ["结束同游", "End the tour"],
  endSure: ["真的为所有人结束吗？", "End it for everyone?"],
  endYes: ["结束", "End it"],
  endNo: ["继续", "Go on"],
  takeLead: ["由我来带", "Take the lead"],
  console: ["向导台", "Guide's console"],
  signedOut: [
    "你还没有登录。请打开服务器启动时显示的链接，或运行 tongyou-server guide-link 得到一个新的。",
    "You are not signed in. Open the link that the server printed, or run tongyou-server guide-link for another.",
  ],
  signedIn: ["已登录", "Signed in"],
  tours: ["开一个新团", "Start a tour"],
  start: ["开始", "Start"],
  sessions: ["正在进行", "Under way"],
  noSessions: ["现在没有团。", "No tour is under way."],
  lead: ["由我来带这个团", "Lead this session"],
  ledBy: ["向导", "Led by"],
  nobody: ["没有向导", "nobody"],
  yourName: ["向导的名字", "Your name as guide"],
  cell: ["位置", "place"],
  share: ["扫码或输入", "Scan or type"],
  clockError: ["时钟误差", "Clock error"],
  lastChange: ["上次换站偏差", "last change"],
  closePanel: ["收起", "Fold"],
  openPanel: ["展开", "Unfold"],
  qr: ["加入这次同游的二维码", "QR code for joining this tour"],
  preparing: ["大家正在准备", "Everyone is getting ready"],
  more: ["读全文", "Read all"],
  less: ["收起", "Less"],
  turnPage: ["按 A 或 X 翻页", "A or X turns the page"],
} as const;

export type Word = keyof typeof WORDS;

let language: Language = preferred();

export function say(word: Word): string {
  const [zh, en] = WORDS[word];
  return language === "zh" ? zh : en;
}

/** The text in the language of the page, in the other where it is missing. */
export function choose(text: { readonly zh: string; readonly en: string } | null | undefined): string {
  if (!text) return "";
  return language === "zh" ? text.zh || text.en : text.en || text.zh;
}

export function currentLanguage(): Language {
  return language;
}

/** For `lang` attributes and the server. */
export function languageTag(): string {
  return language === "zh" ? "zh-CN" : "en";
}

export function setLanguage(to: Language): void {
  language = to;
  try {
    localStorage.setItem("tongyou.language", to);
  } catch {
    // Without storage the choice lasts for this page.
  }
}

function preferred(): Language {
  try {
    const kept = localStorage.getItem("tongyou.language");
    if (kept === "zh" || kept === "en") return kept;
  } catch {
    // As above.
  }
  return (globalThis.navigator?.language ?? "en").toLowerCase().startsWith("zh") ? "zh" : "en";
}
