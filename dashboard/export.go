package dashboard

import (
	"bufio"
	"cmp"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

const exportDays = 31 // of load at most

// A words gives a reader's language; the first of the two is Chinese.
type words struct{ lang string }

func (w words) of(zh, en string) string {
	if w.lang == "en" {
		return en
	}
	return zh
}

// What the API's codes are called in files.
var codeWords = map[string][2]string{
	"effective": {"有效", "effective"}, "failing": {"纸面·失效", "failing"}, "unverified": {"纸面·待核", "unverified"},
	"starting": {"新建起步", "starting"}, "none": {"未覆盖", "none"},
	"usable": {"有枪可用", "usable"}, "no_station": {"无公共站", "no public station"}, "never_connected": {"从未接入", "never connected"},
	"all_fault": {"全部故障", "all at fault"}, "all_offline": {"全部离线", "all offline"}, "all_silent": {"全部静默", "all silent"},
	"mixed": {"故障、离线或静默", "at fault, offline or silent"}, "opened_recently": {"开通未满 7 天", "opened less than 7 days ago"},
	"town": {"镇", "town"}, "township": {"乡", "township"}, "street": {"街道", "street"}, "quasi": {"类乡级单位", "quasi"}, "zone": {"功能区", "zone"},
	"stock": {"存量", "stock"}, "flow": {"增量", "flow"}, "share": {"占比", "share"},
	"=": {"等于", "equal to"}, ">=": {"不低于", "at least"},
	"towns": {"乡镇", "towns"}, "streets": {"街道", "streets"}, "all": {"全部乡级区划", "all township-level divisions"},
}

// code names a code; one that is not known is given as it is.
func (w words) code(code string) string {
	if pair, ok := codeWords[code]; ok {
		return w.of(pair[0], pair[1])
	}
	return code
}

// getExport answers with a file: {table}.{csv|xlsx}.
func (d *Dashboard) getExport(w http.ResponseWriter, r *http.Request) error {
	table, format, _ := strings.Cut(r.PathValue("file"), ".")
	lang := cmp.Or(r.URL.Query().Get("lang"), "zh")
	if lang != "zh" && lang != "en" {
		return badRequest(fmt.Sprintf("lang %q: want zh or en", clip(lang)))
	}
	make, ok := map[string]func(*http.Request, words) (*sheet, error){
		"townships": d.townshipSheet, "operators": d.operatorSheet, "targets": d.targetSheet, "load": d.loadSheet, "cases": d.caseSheet,
	}[table]
	if !ok || format != "csv" && format != "xlsx" {
		return notFound("no such file; there are townships, operators, targets, load and cases, as .csv and .xlsx")
	}
	if err := d.notLoaded(); err != nil {
		return err
	}
	s, err := make(r, words{lang})
	if err != nil {
		return err
	}
	kind, write := "text/csv; charset=utf-8", s.writeCSV
	if format == "xlsx" {
		kind, write = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", s.writeXLSX
	}
	name := fmt.Sprintf("%s-%s.%s", s.name(lang), time.Now().In(charge.Zone).Format("20060102-1504"), format)
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return nil
	}
	out := bufio.NewWriterSize(w, 64<<10)
	if err = write(out, lang); err == nil {
		err = out.Flush()
	}
	if err != nil && r.Context().Err() == nil {
		d.log.Error("write an export", "file", r.PathValue("file"), "err", err)
		panic(http.ErrAbortHandler) // part of it may be out: half a file must not look like a whole one
	}
	return nil
}

// about says what was asked for, and as of when.
func (d *Dashboard) about(r *http.Request, w words, code charge.DivisionCode, more ...[2]string) [][2]string {
	place := string(code)
	if name := d.coverage.name(code); name != "" {
		place += " " + name
	}
	lines := append([][2]string{{w.of("区划", "Division"), place}}, more...)
	_, asOf, _ := d.coverage.now()
	shown := w.of("尚无变化", "no change yet")
	if !asOf.IsZero() {
		shown = asOf.In(charge.Zone).Format(time.DateTime)
	}
	lines = append(lines, [2]string{w.of("数据截至（北京时间）", "As of (Asia/Shanghai)"), shown},
		[2]string{w.of("导出时间", "Exported"), time.Now().In(charge.Zone).Format(time.DateTime)})
	if v := viewerOf(r); v.signedIn() {
		lines = append(lines, [2]string{w.of("导出人", "By"), v.name})
	}
	if d.cfg.PolicyDocument == "" {
		return append(lines, [2]string{w.of("性质", "Standing"), w.of("试行，不作为处理依据", "on trial, not a basis for action")})
	}
	return append(lines, [2]string{w.of("依据", "Regulation"), d.cfg.PolicyDocument})
}

func (d *Dashboard) townshipSheet(r *http.Request, w words) (*sheet, error) {
	code, err := d.divisionOf(r)
	if err != nil {
		return nil, err
	}
	t, err := tierOf(r, tierTowns)
	if err != nil {
		return nil, err
	}
	state := charge.CoverageState(r.URL.Query().Get("state"))
	if _, ok := stateRank[state]; !ok && state != "" {
		return nil, badRequest(fmt.Sprintf("state %q: want effective, failing, unverified, starting or none", clip(string(state))))
	}
	rows := d.coverage.list(code, t, func(s charge.CoverageState) bool { return state == "" || s == state })
	filter := w.of("全部", "all")
	if state != "" {
		filter = w.code(string(state))
	}
	return &sheet{
		zh: "乡镇覆盖", en: "Townships",
		about: d.about(r, w, code, [2]string{w.of("统计范围", "Counted"), w.code(tierNames[t])}, [2]string{w.of("状态", "State"), filter}),
		columns: []column{
			{"代码", "code", 12},
			{"名称", "name", 18},
			{"区县", "county", 14},
			{"市", "city", 12},
			{"类别", "kind", 10},
			{"状态", "state", 12},
			{"自", "since", 20},
			{"依据", "reason", 22},
			{"公共站", "stations", 9},
			{"公共枪", "connectors", 11},
			{"可用", "usable", 9},
			{"在线", "online", 9},
			{"充电中", "charging", 9},
			{"故障", "fault", 9},
			{"功率 kW", "power_kw", 11},
			{"最近可用", "last_usable", 20},
		},
		rows: func(row func(...any) error) error {
			for i := range rows {
				t := &rows[i]
				err := row(string(t.Division), t.Name, t.County, t.City, w.code(string(t.Kind)), w.code(string(t.State)), t.Since, w.code(t.Reason),
					t.Stations, t.Connectors, t.Usable, t.Online, t.Charging, t.Fault, t.PowerKW, t.LastUsable)
				if err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// operatorSheet is what operators' page shows, as far as the viewer may see the piles.
func (d *Dashboard) operatorSheet(r *http.Request, w words) (*sheet, error) {
	code, err := d.divisionOf(r)
	if err != nil {
		return nil, err
	}
	p, err := periodOf(r, operatorDaysMost)
	if err != nil {
		return nil, err
	}
	definition, err := definitionOf(r)
	if err != nil {
		return nil, err
	}
	rows, err := d.operatorsOf(r, code, p, definition)
	if err != nil {
		return nil, err
	}
	zh, en, source := definition.Names()
	from, to := p.text()
	return &sheet{
		zh: "运营商", en: "Operators",
		about: d.about(r, w, code, [2]string{w.of("统计范围", "Counted"), w.of("在用设施", "in service")}, [2]string{w.of("日期", "Days"), from + " – " + to},
			[2]string{w.of("可用率口径", "Availability by"), w.of(zh, en) + " · " + source}),
		columns: []column{
			{"运营商编码", "operator", 14},
			{"名称", "name", 24},
			{"站", "stations", 10},
			{"桩", "piles", 10},
			{"其中公共桩", "public_piles", 12},
			{"枪", "connectors", 11},
			{"在线枪", "online", 10},
			{"可用枪", "usable", 10},
			{"可用率", "availability", 12},
			{"95% 下限", "low_95", 10},
			{"95% 上限", "high_95", 10},
			{"名次", "rank", 8},
			{"已修复次数", "repaired", 11},
			{"未修复", "open", 9},
			{"修复中位数 h", "repair_median_h", 14},
			{"修复均值（30 天限）h", "repair_mean_30d_h", 18},
			{"本月拒收", "rejects_this_month", 12},
			{"接入登记桩", "registered_piles", 12},
			{"72 小时内在线桩", "heard_72h_piles", 16},
		},
		rows: func(row func(...any) error) error {
			for i := range rows {
				o := &rows[i]
				a := &o.Availability
				registered, recent := 0, 0
				for _, c := range o.Connection {
					registered += c.Registered
					recent += c.Recent
				}
				err := row(string(o.Operator), o.Name, o.Stations, o.Piles, o.PublicPiles, o.Connectors, o.Online, o.Usable, a.Share, a.Low, a.High, a.Rank,
					o.Repair.Repaired, o.Repair.Open, o.Repair.MedianHours, o.Repair.MeanHours, o.Rejects, registered, recent)
				if err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

func (d *Dashboard) targetSheet(r *http.Request, w words) (*sheet, error) {
	code, err := d.divisionOf(r)
	if err != nil {
		return nil, err
	}
	rows, err := d.targetRows(r.Context(), code, time.Now())
	if err != nil {
		return nil, err
	}
	return &sheet{
		zh: "规划目标", en: "Targets", about: d.about(r, w, code),
		columns: []column{
			{"指标", "indicator", 30},
			{"单位", "unit", 10},
			{"年底", "year", 8},
			{"关系", "comparison", 11},
			{"目标", "target", 12},
			{"统计", "reported", 12},
			{"接入", "connected", 12},
			{"今日应达", "due_today", 12},
			{"差", "shortfall", 12},
			{"逾期天数", "days_overdue", 10},
			{"日均增加", "per_day", 12},
			{"预计达到", "projected", 12},
			{"最早（10%）", "earliest_10", 12},
			{"最晚（90%）", "latest_90", 12},
			{"性质", "kind", 8},
			{"文件", "document", 40},
		},
		rows: func(row func(...any) error) error {
			for i := range rows {
				t := &rows[i]
				pace := t.Pace
				if pace == nil {
					pace = &paceView{}
				}
				err := row(w.of(t.NameZH, t.NameEN), t.Unit, t.Year, w.code(t.Comparison), t.Value, t.Reported, t.Connected, t.Due, t.Shortfall, t.DaysOverdue,
					pace.PerDay, pace.On, pace.Early, pace.Late, w.code(t.Kind), t.Document)
				if err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

func (d *Dashboard) loadSheet(r *http.Request, w words) (*sheet, error) {
	if err := viewerOf(r).refusal(needsLoad); err != nil {
		return nil, err
	}
	code, err := d.countyOrAbove(r)
	if err != nil {
		return nil, err
	}
	q, now := r.URL.Query(), time.Now()
	last, err := dateOf(q.Get("to"), "to", now)
	if err != nil {
		return nil, err
	}
	first, err := dateOf(q.Get("from"), "from", last)
	if err != nil {
		return nil, err
	}
	if first.After(last) || last.Sub(first) >= exportDays*24*time.Hour {
		return nil, badRequest(fmt.Sprintf("from and to: want 1 to %d days", exportDays))
	}
	return &sheet{
		zh: "负荷曲线", en: "Load",
		about: d.about(r, w, code, [2]string{w.of("日期", "Days"), first.Format(time.DateOnly) + " – " + last.Format(time.DateOnly)},
			[2]string{w.of("时段", "Windows"), w.of("15 分钟，起点时刻", "15 minutes, by their beginning")}),
		columns: []column{
			{"时间", "time", 20}, {"平均功率 kW", "power_kw", 14}, {"最大功率 kW", "max_kw", 14}, {"电量 kWh", "energy_kwh", 12}, {"充电枪数", "charging", 11},
		},
		rows: func(row func(...any) error) error {
			for day := first; !day.After(last); day = day.AddDate(0, 0, 1) {
				loads, err := d.history.Loads(r.Context(), code, day, day.AddDate(0, 0, 1))
				if err != nil {
					return err
				}
				of := viewLoad(day, loads, now)
				for n := range pointsOfDay {
					if err := row(day.Add(time.Duration(n)*pointEvery), of.PowerKW[n], of.MaxKW[n], of.EnergyKWh[n], of.Charging[n]); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}, nil
}
