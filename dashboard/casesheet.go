package dashboard

import (
	"cmp"
	"net/http"
	"strings"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
)

// caseSheet is what the list of cases shows.
func (d *Dashboard) caseSheet(r *http.Request, w words) (*sheet, error) {
	v, err := d.caseRows(r)
	if err != nil {
		return nil, err
	}
	filter := w.of("全部", "all")
	if state := cases.State(r.URL.Query().Get("state")); state != "" {
		filter = w.of(state.Chinese(), string(state))
	}
	code := charge.DivisionCode(cmp.Or(r.URL.Query().Get("division"), string(viewerOf(r).caseHome(d.province()))))
	trial := v.Document
	if trial == "" {
		trial = w.of("试行，不作为处理依据", "on trial, not a basis for any decision")
	}
	return &sheet{
		zh: "长期失效案件", en: "Cases",
		about: d.about(r, w, code, [2]string{w.of("状态", "State"), filter}, [2]string{w.of("依据文号", "Regulation"), trial}),
		columns: []column{
			{"案号", "case", 14},
			{"状态", "state", 18},
			{"进入本状态", "since", 20},
			{"立案", "opened", 20},
			{"运营商编码", "operator", 14},
			{"运营商", "operator_name", 24},
			{"充电桩", "pile", 26},
			{"出厂编号", "serial", 16},
			{"站点", "station", 24},
			{"乡级代码", "township", 12},
			{"乡镇", "township_name", 16},
			{"区县", "county", 14},
			{"依据", "grounds", 24},
			{"政策版本", "policy", 12},
			{"送达", "served", 20},
			{"期限", "deadline", 20},
			{"期限天数", "period_days", 10},
			{"已延期", "extended", 8},
			{"已报省级清单", "on_list", 12},
			{"复发次数", "relapses", 10},
		},
		rows: func(row func(...any) error) error {
			yes := map[bool]string{true: w.of("是", "yes"), false: w.of("否", "no")}
			for i := range v.Cases {
				c := &v.Cases[i]
				rules := make([]string, len(c.Grounds))
				for n, g := range c.Grounds {
					rules[n] = w.of(ruleShort[g.Rule], g.Rule)
				}
				err := row(c.ID, w.of(c.StateZH, string(c.State)), c.Since, c.Opened, string(c.Operator), c.OperatorName, c.Pile, c.Serial, c.StationName,
					string(c.Township), c.TownshipName, c.CountyName, strings.Join(rules, w.of("、", ", ")), c.Policy, c.Served, c.Deadline, c.PeriodDays,
					yes[c.Extended], yes[c.Escalated], c.Relapses)
				if err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// ruleShort are the rules in a table.
var ruleShort = map[string]string{"silent": "失联", "faulted": "故障", "not_usable": "不可用", "unreliable": "不可靠", "no_energy": "无电量"}
