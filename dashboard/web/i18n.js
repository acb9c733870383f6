// @ts-check
import { html } from './vendor/htm/standalone.mjs';
import { remember, Store } from './store.js';

/** @type {Store<'zh' | 'en'>} */
export const lang = new Store(/** @type {'zh' | 'en'} */ (document.documentElement.lang === 'en' ? 'en' : 'zh'));

/** @param {'zh' | 'en'} to */
export function setLang(to) {
  document.documentElement.lang = to === 'en' ? 'en' : 'zh-CN';
  remember('lang', to);
  lang.set(to);
}

/** Every word of the page: Chinese, English. {n} and the like are filled in. */
const words = {
  site: ['山东充电设施监测', 'Shandong Charging Watch'],
  seconds: ['{n} 秒', '{n} s'],
  minutes: ['{n} 分钟', '{n} min'],
  hours: ['{n} 小时', '{n} h'],
  days: ['{n} 天', '{n} d'],

  overview: ['总览', 'Overview'],
  coverage: ['覆盖', 'Coverage'],
  piles: ['充电桩', 'Piles'],
  rejects: ['拒收', 'Rejects'],
  events: ['动态', 'Events'],
  more: ['更多', 'More'],
  pages: ['页面', 'Pages'],
  skip: ['跳到正文', 'Skip to content'],
  toEnglish: ['EN', '中文'],
  toEnglishLabel: ['English', '中文'],
  toDark: ['深色', 'Dark'],
  toLight: ['浅色', 'Light'],
  signIn: ['登录', 'Sign in'],
  signOut: ['退出登录', 'Sign out'],
  signedInAs: ['管理员', 'Administrator'],
  signInWhy: ['本平台不公开，请先登录。', 'This platform is not public. Sign in to read it.'],
  signInMore: ['登录后可见居民桩与拒收样本。', 'After signing in, residential piles and samples of rejected messages are shown.'],
  token: ['访问令牌', 'Access token'],
  tokenHint: ['数据目录中 dashboard.token 文件的内容', 'The content of the file dashboard.token in the data directory'],
  signInFailed: ['未能登录：{title}', 'Not signed in: {title}'],
  language: ['语言', 'Language'],
  appearance: ['外观', 'Appearance'],
  account: ['账户', 'Account'],

  live: ['实时', 'Live'],
  connecting: ['正在连接', 'Connecting'],
  asOf: ['数据截至 {time}', 'As of {time}'],
  cut: ['连接中断', 'Connection lost'],
  cutLine: ['连接中断，正在重连（第 {n} 次）', 'Connection lost, reconnecting (attempt {n})'],
  cutAge: ['页面数据为 {age}前', 'figures are {age} old'],
  reading: ['正在读取…', 'Reading…'],
  failed: ['未能读取：{title}', 'Could not read: {title}'],
  noAnswer: ['服务器没有应答', 'the server does not answer'],
  retry: ['重试', 'Try again'],
  notFound: ['没有这个页面', 'There is no such page'],
  notFoundWay: ['回到总览', 'Go to the overview'],

  loadToday: ['今日负荷', "Today's load"],
  loadNote: ['接入平台的枪 · 15 分钟均值', 'All connected connectors · means of 15 minutes'],
  loadNone: ['今日与昨日还没有负荷', 'No load yet today or yesterday'],
  loadSaid: ['今日负荷，最近一刻 {now}', "Today's load, {now} in the last quarter of an hour"],
  todayIs: ['今日 {n}', 'Today {n}'],
  yesterday: ['昨日', 'Yesterday'],

  headline: ['乡镇有效覆盖', 'Effective coverage'],
  ofTowns: ['{n} / {of} 个乡镇', '{n} / {of} towns'],
  ofTownsEffective: ['{n} / {of} 个乡镇有效', '{n} / {of} towns effective'],
  ofStreetsEffective: ['{n} / {of} 个街道有效', '{n} / {of} streets effective'],
  ofAllEffective: ['{n} / {of} 个乡级区划有效', '{n} / {of} divisions effective'],
  definition: ['近 24 小时有公共枪可用', 'usable within 24 h'],
  headlineSaid: ['乡镇有效覆盖 {percent}，{n} / {of} 个乡镇', 'Effective coverage {percent}, {n} of {of} towns'],
  ringSaid: ['有效 {effective}，新建起步 {starting}，失效 {failing}，连接待核 {unverified}，未覆盖 {none}，共 {total} 个乡镇',
    'effective {effective}, starting {starting}, failing {failing}, unverified {unverified}, uncovered {none}, of {total} towns'],
  nominal: ['名义覆盖', 'Nominal'],
  paper: ['纸面', 'Paper'],
  paperOf: ['其中纸面 {n} · {percent}', 'of these paper {n} · {percent}'],
  state: ['状态', 'State'],
  towns: ['乡镇', 'Towns'],
  share: ['占比', 'Share'],
  states: ['各状态乡镇数', 'Towns by state'],

  effective: ['有效', 'Effective'],
  failing: ['失效', 'Failing'],
  unverified: ['待核', 'Unverified'],
  starting: ['起步', 'Starting'],
  none: ['未覆盖', 'None'],
  effectiveLong: ['有效覆盖', 'Effective'],
  failingLong: ['纸面 · 失效', 'Paper · failing'],
  unverifiedLong: ['纸面 · 待核', 'Paper · unverified'],
  startingLong: ['新建起步', 'Starting'],
  noneLong: ['未覆盖', 'Uncovered'],
  notObserved: ['未观测', 'not observed'],

  online: ['在线公共枪', 'Connectors online'],
  onlineNote: ['共 {of} 枪', 'of {of} public'],
  usable: ['当前可用', 'Usable now'],
  usableNote: ['占公共枪 {percent}', '{percent} of public'],
  charging: ['充电中', 'Charging'],
  chargingNote: ['占可用 {percent}', '{percent} of usable'],
  fault: ['故障', 'Fault'],
  faultNote: ['占公共枪 {percent}', '{percent} of public'],
  power: ['充电功率', 'Charging power'],
  powerNote: ['每枪均 {n} kW', 'mean {n} kW each'],
  connectorUnit: ['枪', ''],

  counties: ['区县', 'Counties'],
  mapOf: ['着色指标', 'Coloured by'],
  asMap: ['地图', 'Map'],
  asTable: ['列表', 'List'],
  mapEffective: ['有效覆盖', 'Effective'],
  mapPaper: ['纸面', 'Paper'],
  mapOnline: ['在线', 'Online'],
  mapFault: ['故障', 'Fault'],
  legendEffective: ['有效覆盖率 %', 'Effective coverage, %'],
  legendPaper: ['纸面乡镇占比 %', 'Paper towns, %'],
  legendOnline: ['公共枪在线率 %', 'Public connectors online, %'],
  legendFault: ['公共枪故障占比 %', 'Public connectors at fault, %'],
  noTowns: ['无乡镇（仅街道）', 'No towns (streets only)'],
  noConnectors: ['无公共枪', 'No public connectors'],
  zones: ['功能区（无边界）', 'Zones (no outline)'],
  zonesRest: ['其余 {n} 个无乡镇', '{n} more without towns'],
  mapSaid: ['山东省区县地图，按{what}着色；“列表”给出同样的数字', 'Map of the counties of Shandong, coloured by: {what}; List gives the same figures'],
  mapCredit: ['审图号：待填 · 底图 天地图 2024-05', 'Map approval no.: to be entered · Tianditu, May 2024'],
  divisionsAsOf: ['区划 {date}', 'divisions of {date}'],
  zoomIn: ['放大', 'Zoom in'],
  zoomOut: ['缩小', 'Zoom out'],
  province: ['全省', 'Province'],

  units: ['每格一个乡镇', 'One mark, one town'],
  city: ['市', 'City'],
  gap: ['差', 'Gap'],
  county: ['区县', 'County'],
  unitsNote: ['按有效占比排序；街道另计', 'By effective share; streets are counted apart'],

  noEvents: ['尚无动态；状态变化时列在这里', 'Nothing yet. Changes of state are listed here.'],
  allEvents: ['全部', 'All'],
  evGainedAgain: ['恢复有效', 'effective again'],
  evGainedFirst: ['首次有效', 'first effective'],
  evUnsteady: ['时好时坏，近 7 天 {share} 的时间有效', 'unsteady, effective for {share} of 7 days'],
  evLostTo: ['转为{state}', 'now {state}'],
  evDanger: ['危险告警：{fault}', 'danger: {fault}'],
  evRestored: ['恢复可用', 'usable again'],
  pileNo: ['桩 {n}', 'pile {n}'],
  pileShort: ['桩 {n}', '{n}'],

  targets: ['规划目标', 'Plan targets'],
  targetsLeft: ['到 {year} 年底 · 余 {days}', 'by the end of {year} · {days} left'],
  targetsOver: ['到 {year} 年底 · 已过 {days}', 'by the end of {year} · {days} ago'],
  reached: ['已达', 'reached'],
  short: ['差 {n}', '{n} short'],
  points: ['{n} 点', '{n} pt'],
  ind_township_coverage: ['乡镇公共桩覆盖', 'Towns covered'],
  ind_public_piles: ['公共桩', 'Public piles'],
  ind_residential_piles: ['居民桩', 'Residential piles'],
  ind_rural_public_piles: ['农村公共桩', 'Rural public piles'],
  ind_rural_residential_piles: ['农村居民桩', 'Rural residential'],
  ind_urban_public_dc_share: ['城市直流快桩占比', 'DC share, urban'],
  ind_public_capacity_added: ['公共站新增配变', 'Public capacity'],
  ind_public_capacity_growth: ['公共站配变年增', 'Capacity growth'],
  ind_residential_capacity_added: ['居民桩新增配变', 'Residential capacity'],
  ind_public_piles_growth: ['公共桩年增（力争）', 'Public growth'],
  ind_residential_piles_growth: ['居民桩年增（力争）', 'Residential growth'],
  ind_pilot_counties: ['试点县（约）', 'Pilot counties'],
  ind_pilot_townships: ['试点乡镇（约）', 'Pilot townships'],
  unit_piles: ['', ''],
  unit_counties: ['个', ''],
  unit_townships: ['个', ''],
  unit_year: ['%/年', '%/yr'],
  connected: ['接入 {n}', 'connected {n}'],
  reported: ['统计 {n}', 'reported {n}'],

  paperTowns: ['纸面乡镇', 'Paper towns'],
  paperTownsNote: ['名义覆盖而无枪可用 · 久者在前', 'nominal, none usable · longest first'],
  noPaper: ['没有纸面乡镇：名义覆盖的乡镇近 24 小时都有枪可用', 'No paper towns: each nominal one had a usable connector in 24 h.'],

  tier: ['统计范围', 'Counted'],
  tierTowns: ['乡镇', 'Towns'],
  tierStreets: ['街道', 'Streets'],
  tierAll: ['全部', 'All'],
  filter: ['按状态筛选', 'Filter by state'],
  all: ['全部', 'All'],
  byCity: ['各市 {n}', 'Cities {n}'],
  byCounty: ['区县 {n}', 'Counties {n}'],
  streetsApart: ['另计 {n} 个街道：{effective} 有效（不入 {of} 分母）', '{n} streets apart: {effective} effective (not in the {of})'],
  division: ['名称', 'Name'],
  township: ['乡镇', 'Town'],
  basis: ['依据', 'Basis'],
  since: ['持续', 'For'],
  lastUsable: ['最近可用', 'Last usable'],
  now: ['现在', 'now'],
  never: ['从未', 'never'],
  connectorsCol: ['可用 / 枪', 'Usable / all'],
  stationsCol: ['站', 'Stations'],
  chargingCol: ['充电', 'Charging'],
  faultCol: ['故障', 'Fault'],
  powerCol: ['功率', 'Power'],
  effectiveShare: ['有效覆盖', 'Effective'],
  unitsCol: ['每格一个乡镇', 'One mark, one town'],
  showMore: ['再显示 {n} 个', 'Show {n} more'],
  noTownsHere: ['{name}没有乡镇，只有 {n} 个街道', '{name} has no towns, only {n} streets'],
  streetsOnly: ['另计 {n} 个街道：{effective} 有效', '{n} streets apart: {effective} effective'],
  seeStreets: ['查看街道', 'See the streets'],
  noneInState: ['没有这种状态的乡镇', 'None in this state'],
  kindTown: ['镇', 'town'],
  kindTownship: ['乡', 'township'],
  kindStreet: ['街道', 'street'],
  kindQuasi: ['类乡级单位', 'quasi'],
  kindZone: ['功能区', 'zone'],
  location: ['位置', 'Location'],
  schematic: ['乡镇点为示意位置', 'town points are schematic'],
  connectorsHere: ['公共枪', 'Public connectors'],
  inThisTier: ['所选范围内', 'in what is counted'],
  registered: ['在册', 'Registered'],
  stations: ['公共站', 'Public stations'],
  onlineShort: ['在线', 'Online'],
  pilesHere: ['站与桩', 'Stations and piles'],
  noStation: ['无公共站', 'no public station'],
  noPilesHere: ['此处没有在册的充电桩', 'No pile is registered here.'],

  reasonUsable: ['{n} 枪可用', '{n} usable'],
  reasonWasUsable: ['此刻无枪可用，24 小时内曾可用', 'none usable now, one was within 24 h'],
  reasonNever: ['从未接入', 'never connected'],
  reasonFault: ['全部故障', 'all at fault'],
  reasonOffline: ['全部离线', 'all offline'],
  reasonSilent: ['全部静默', 'all silent'],
  reasonMixed: ['故障、离线或静默', 'at fault, offline or silent'],
  reasonBlocked: ['全部被占用超过 24 小时', 'all blocked for over 24 h'],
  reasonLapsed: ['在线，但状态已失效', 'heard, but no status that holds'],
  reasonShort: ['24 小时内可用不足 60 分钟', 'usable for less than 60 min of 24 h'],
  reasonUnseen: ['超过 72 小时未观测', 'not observed for over 72 h'],
  reasonSeason: ['唯一的站点不在营业季', 'its only station is out of season'],
  reasonHours: ['唯一的站点不在营业时间', 'its only station has no hours now'],
  reasonMobile: ['只有移动充电设施', 'only mobile chargers'],
  reasonLimited: ['只有不对公众开放的站点', 'its only station is not open to the public'],
  reasonOpened: ['开通未满 7 天', 'opened less than 7 days ago'],
  stationsConnectors: ['{stations} 站 {connectors} 枪', '{stations} st, {connectors} conn'],
  listJoin: ['，', ', '],

  search: ['桩号或站名', 'Pile number or station'],
  searchGo: ['查找', 'Find'],
  anyStatus: ['全部状态', 'Any status'],
  anywhere: ['全省', 'Province'],
  status: ['状态', 'Status'],
  pile: ['桩', 'Pile'],
  station: ['站', 'Station'],
  operator: ['运营商', 'Operator'],
  type: ['类型', 'Type'],
  connectors: ['枪', 'Connectors'],
  connectorsOf: ['{n} 枪', '{n} conn'],
  lastHeard: ['最近消息', 'Last heard'],
  dc: ['直流', 'DC'],
  ac: ['交流', 'AC'],
  kindPublic: ['公共', 'public'],
  kindDedicated: ['专用', 'dedicated'],
  kindResidential: ['居民', 'residential'],
  noPiles: ['没有符合条件的充电桩', 'No pile fits.'],
  clear: ['清除条件', 'Clear the conditions'],
  loadMore: ['更多', 'More'],
  shown: ['已列 {n} 桩', '{n} piles listed'],

  st_offline: ['离线', 'offline'],
  st_idle: ['空闲', 'idle'],
  st_occupied: ['占用', 'occupied'],
  st_charging: ['充电中', 'charging'],
  st_reserved: ['预约', 'reserved'],
  st_fault: ['故障', 'fault'],
  st_silent: ['静默', 'silent'],
  st_unseen: ['未接入', 'never heard'],

  f_emergency_stop: ['急停', 'emergency stop'],
  f_over_temperature: ['过温', 'over-temperature'],
  f_insulation: ['绝缘故障', 'insulation fault'],
  f_contactor: ['接触器故障', 'contactor fault'],
  f_communication: ['通信故障', 'communication fault'],
  f_metering: ['计量故障', 'metering fault'],
  f_over_voltage: ['过压', 'over-voltage'],
  f_under_voltage: ['欠压', 'under-voltage'],
  f_over_current: ['过流', 'over-current'],
  f_leakage: ['漏电', 'leakage'],
  f_door_open: ['柜门打开', 'door open'],
  f_flood: ['水浸', 'flood'],
  f_smoke: ['烟雾', 'smoke'],
  f_vehicle: ['车辆侧故障', 'vehicle fault'],
  f_other: ['其他故障', 'other fault'],

  liveValues: ['实时值', 'Live values'],
  liveNote: ['至多每秒一次', 'at most once a second'],
  connector: ['枪', 'Connector'],
  connectorNo: ['{n} 号枪', 'Connector {n}'],
  voltage: ['电压', 'Voltage'],
  current: ['电流', 'Current'],
  powerShort: ['功率', 'Power'],
  soc: ['SOC', 'SOC'],
  energy: ['本次电量', 'Session energy'],
  meter: ['表底', 'Meter'],
  temp: ['温度', 'Temperature'],
  deviceTime: ['设备时间', 'Device time'],
  powerAndSoc: ['功率与 SOC', 'Power and SOC'],
  range: ['时段', 'Range'],
  range1h: ['1 小时', '1 h'],
  range24h: ['24 小时', '24 h'],
  chartSaid: ['近{range}的功率与 SOC；末值见实时值', 'Power and SOC of the last {range}; the newest values are under Live values'],
  noHistory: ['该时段没有充电数据', 'No charging was reported in this time'],
  facts: ['登记', 'Registry'],
  address: ['地址', 'Address'],
  opened: ['投运', 'Opened'],
  coordinates: ['坐标', 'Coordinates'],
  rated: ['额定功率', 'Rated power'],
  use: ['用途', 'Use'],
  stationId: ['站号', 'Station id'],
  pileId: ['桩编码', 'Pile id'],
  statusSince: ['状态持续', 'In this status'],

  bridges: ['平台对接', "Operators' brokers"],
  bridgesNote: ['网关到运营商自有 MQTT 服务器的连接', 'The gateways\u2019 connections to operators\u2019 own MQTT brokers'],
  bridge: ['连接', 'Connection'],
  bridgeState: ['状态', 'State'],
  bridgeUp: ['已连接，自 {since}', 'connected since {since}'],
  bridgeDown: ['未连接，自 {since}', 'down since {since}'],
  bridgeEnding: ['正在结束旧会话', 'ending an old session'],
  bridgeStale: ['网关无消息，自 {since}', 'its gateway is silent since {since}'],
  bridgeMessages: ['消息', 'Messages'],
  bridgeWaiting: ['待入日志', 'Waiting'],
  rejectsNote: ['不能采用的消息：记录、计数并回告，不静默丢弃', 'Messages that could not be used: recorded, counted and told back, never dropped in silence'],
  reason: ['原因', 'Reason'],
  detail: ['说明', 'Detail'],
  count: ['次数', 'Count'],
  time: ['时间', 'Time'],
  sample: ['样本', 'Sample'],
  noRejects: ['没有拒收的消息', 'Nothing has been rejected.'],
  anyReason: ['全部 {n}', 'All {n}'],
  samplesHidden: ['登录后可见样本', 'Samples are shown after signing in'],
  anyOperator: ['运营商编码', 'Operator id'],
  rej_bad_json: ['非 JSON', 'not JSON'],
  rej_bad_topic: ['主题错误', 'bad topic'],
  rej_unknown_pile: ['未知的桩', 'unknown pile'],
  rej_unknown_connector: ['未知的枪', 'unknown connector'],
  rej_not_yours: ['非本运营商', 'not yours'],
  rej_bad_time: ['时间错误', 'bad time'],
  rej_history_refused: ['历史库拒收', 'refused by the history'],
  rej_out_of_range: ['超出范围', 'out of range'],
  rej_too_large: ['过大', 'too large'],
  rej_bad_status: ['状态错误', 'bad status'],
  rej_bad_id: ['编码错误', 'bad id'],
  rej_bad_field: ['字段错误', 'bad field'],
};

/** @typedef {keyof typeof words} Word */

/**
 * A word of the page in its language.
 * @param {Word} word
 * @param {Record<string, string | number>} [values]
 */
export function t(word, values) {
  const text = words[word][lang.value === 'en' ? 1 : 0];
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => String(values[name])) : text;
}

/**
 * A word that the server names; one that the page does not know is shown as it is.
 * @param {string} prefix
 * @param {string} code
 */
export function term(prefix, code) {
  const word = prefix + code;
  return Object.hasOwn(words, word) ? t(/** @type {Word} */ (word)) : code;
}

/** The registry has no romanised names; these are the cities'. */
const romanised = new Map(Object.entries({
  3701: 'Jinan', 3702: 'Qingdao', 3703: 'Zibo', 3704: 'Zaozhuang', 3705: 'Dongying', 3706: 'Yantai', 3707: 'Weifang', 3708: 'Jining',
  3709: "Tai'an", 3710: 'Weihai', 3711: 'Rizhao', 3713: 'Linyi', 3714: 'Dezhou', 3715: 'Liaocheng', 3716: 'Binzhou', 3717: 'Heze', 37: 'Shandong',
}));

/**
 * A division's name as text: the romanised one where there is one.
 * @param {string} code
 * @param {string} name
 */
export const placeName = (code, name) => lang.value === 'en' && romanised.get(code) || name;

/** The same, short where a column is narrow: 菏泽. @param {string} code @param {string} name */
export const shortPlaceName = (code, name) => code.length === 4 ? placeName(code, name).replace(/市$/, '') : placeName(code, name);

/** A zone's name, short enough for a list. @param {string} name */
export const zoneName = (name) => name
  .replace(/(火炬)?高(新)?技术(产业)?开发区/, '高新').replace(/经济技术开发区/, '经开').replace(/港经济开发区/, '港经开');

/**
 * Text that is Chinese in either language.
 * @param {{children?: any}} props
 */
export const Zh = ({ children }) => lang.value === 'en' ? html`<span lang="zh-CN">${children}</span>` : children;

/** @param {{code: string, name: string, short?: boolean}} props */
export function Place({ code, name, short = false }) {
  const shown = (short ? shortPlaceName : placeName)(code, name);
  return name.startsWith(shown) ? html`<${Zh}>${shown}<//>` : shown;
}
