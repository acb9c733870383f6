package dashboard

import (
	"bytes"
	"encoding/csv"
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"pilewatch/internal/registry"
)

// formula is a name that a spreadsheet would run.
const formula = "=cmd|' /C calc'!A0"

func openExports(t *testing.T) *site {
	t.Helper()
	s := openSite(t, Config{Public: true}, func(s *site) { told(t, s) })
	file := "operator,name\nMA3CLQP01," + formula + "\n"
	if _, err := s.registry.Import(t.Context(), registry.Operators, strings.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	if err := s.divisions.(*registry.Directory).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// readCSV gives the lines of an export, the byte order mark taken off.
func readCSV(t *testing.T, a answer) [][]string {
	t.Helper()
	text, ok := bytes.CutPrefix(a.body, []byte("\ufeff"))
	if !ok {
		t.Error("the file has no byte order mark, so Excel takes its Chinese for something else")
	}
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestExportsTellWhatWasAskedForAndAsOfWhen(t *testing.T) {
	s := openExports(t)
	for _, tt := range []struct {
		path string
		has  []string // "cell" or "cell,cell" beside each other
		rows int      // below the heads
		name string   // of the file begins so
	}{
		{"townships.csv?division=371721&state=failing", []string{"区划,371721 曹县", "统计范围,乡镇", "状态,纸面·失效", "数据截至（北京时间）,2025-03-09 12:00:00", "代码,名称", "371721102,普连集镇", "全部故障"}, 1, "乡镇覆盖-"},
		{"townships.csv?division=371721&lang=en", []string{"Division,371721 曹县", "Counted,towns", "State,all", "As of (Asia/Shanghai),2025-03-09 12:00:00", "code,name", "371721101,庄寨镇"}, 21, "Townships-"},
		{"operators.csv?division=371721", []string{"运营商编码,名称", "MA3CLQP01,'" + formula, "MA3CLQP02," + evil}, 2, "运营商-"},
		{"targets.csv", []string{"指标,单位", "不低于,180000"}, 0, "规划目标-"},
		{"load.csv?division=371721&from=2025-03-08&to=2025-03-09", []string{"日期,2025-03-08 – 2025-03-09", "2025-03-09 12:00:00,60,90,15,4", "2025-03-09 12:15:00,,"}, 192, "负荷曲线-"},
	} {
		a := s.ask(t, http.MethodGet, "/api/v1/export/"+tt.path, "", false)
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%s: got %s %s", tt.path, a.Status, a.body)
		}
		lines := readCSV(t, a)
		var all strings.Builder
		heads := 0
		for i, line := range lines {
			all.WriteString("," + strings.Join(line, ",") + ",\n")
			if heads == 0 && strings.Join(line, "") == "" {
				heads = i + 1
			}
		}
		for _, want := range tt.has {
			if !strings.Contains(all.String(), ","+want) {
				t.Errorf("%s lacks %s:\n%.1500s", tt.path, want, all.String())
			}
		}
		if got := len(lines) - heads - 1; tt.rows > 0 && got != tt.rows {
			t.Errorf("%s: got %d rows, want %d", tt.path, got, tt.rows)
		}
		_, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
		if err != nil || !strings.HasPrefix(params["filename"], tt.name) || !strings.HasSuffix(params["filename"], ".csv") {
			t.Errorf("%s: got the name %q and %v, want %s….csv", tt.path, params["filename"], err, tt.name)
		}
	}
}

func TestAWorkbookRunsNothing(t *testing.T) {
	s := openExports(t)
	a := s.ask(t, http.MethodGet, "/api/v1/export/operators.xlsx?lang=en&division=371721", "", false)
	book, err := excelize.OpenReader(bytes.NewReader(a.body))
	if err != nil {
		t.Fatalf("%s: %v", a.Status, err)
	}
	defer book.Close()
	rows, err := book.GetRows("Operators")
	if err != nil || len(rows) != 3 || rows[0][1] != "name" || rows[1][1] != formula || rows[2][1] != evil {
		t.Errorf("got %q and %v, want the two operators as they are called", rows, err)
	}
	if run, err := book.GetCellFormula("Operators", "B2"); err != nil || run != "" {
		t.Errorf("the name is the formula %q (%v), want a text", run, err)
	}
	if kind, err := book.GetCellType("Operators", "C2"); err != nil || kind != excelize.CellTypeUnset && kind != excelize.CellTypeNumber {
		t.Errorf("the number of stations: got type %v and %v, want a number", kind, err)
	}
	about, err := book.GetRows("About")
	if err != nil || about[0][1] != "371721 曹县" {
		t.Errorf("about: got %q and %v, want the division", about, err)
	}
}

func TestExportsThatAreRefused(t *testing.T) {
	s := openExports(t)
	for path, want := range map[string]int{
		"townships.pdf": 404, "townships": 404, "piles.csv": 404, "townships.csv?lang=fr": 400, "townships.csv?state=x": 400, "townships.csv?tier=x": 400,
		"load.csv?from=2025-03-09&to=2025-03-08": 400, "load.csv?from=2025-01-01&to=2025-03-08": 400, "load.csv?division=371721101": 400,
	} {
		if a := s.ask(t, http.MethodGet, "/api/v1/export/"+path, "", false); a.StatusCode != want {
			t.Errorf("%s: got %s, want %d", path, a.Status, want)
		}
	}
}

func TestTextThatSpreadsheetsWouldRun(t *testing.T) {
	for text, want := range map[string]string{
		"古营集镇站": "古营集镇站", "": "", "a=b": "a=b", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "\t=1": "'\t=1", "＝1": "'＝1", "'=1": "''=1",
	} {
		if got := harmless(text); got != want {
			t.Errorf("harmless(%q): got %q, want %q", text, got, want)
		}
	}
	below := -1.5
	if got := csvCell(&below); got != "-1.5" {
		t.Errorf("a number below 0: got %q, want it to stay a number", got)
	}
}
