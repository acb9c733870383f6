package registry

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

const (
	removeOperators = "operator,name\nOP,鲁充\nOTHER,海岱\n"
	removeStations  = "operator,station,township,kind,opened\nOP,S1,371721101,public,2023-05-01\nOP,S2,371721102,public,2023-05-01\nOTHER,S1,371721101,public,2023-05-01\n"
	removePiles     = "operator,station,pile,connector,power_kw,opened\nOP,S1,P1,1,60,2023-05-01\nOP,S1,P1,2,60,2023-05-01\nOP,S1,P2,1,60,2023-05-01\nOP,S2,P3,1,60,2023-05-01\nOTHER,S1,P1,1,60,2023-05-01\n"
)

func importInto(t *testing.T, r *Registry, operators, stations, piles string) {
	t.Helper()
	for _, file := range []struct {
		table Table
		text  string
	}{{Operators, operators}, {Stations, stations}, {Piles, piles}} {
		if file.text == "" {
			continue
		}
		if _, err := r.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
			t.Fatal(err)
		}
	}
}

// inDirectory lists all that a directory knows, each in a word.
func inDirectory(d *Directory) (all []string) {
	for _, o := range d.Operators() {
		all = append(all, string(o.ID))
	}
	for s := range d.Stations() {
		all = append(all, string(s.Operator)+":"+string(s.ID))
	}
	for p := range d.Piles() {
		all = append(all, p.ID.String())
	}
	slices.Sort(all)
	return all
}

func TestRemove(t *testing.T) {
	heard := []charge.ConnectorState{{Key: charge.ConnectorKey{Pile: charge.PileID{Operator: "OP", Equipment: "P1"}, Connector: "2"}, LastHeard: time.UnixMilli(1)}}
	tests := []struct {
		name   string
		heard  bool
		remove func(r *Registry) (Removed, error)
		done   Removed
		err    error
		want   []string
	}{
		{"a pile", false, func(r *Registry) (Removed, error) {
			return r.RemovePile(t.Context(), charge.PileID{Operator: "OP", Equipment: "P1"}, false)
		}, Removed{Piles: 1, Connectors: 2, Credentials: 1}, nil, []string{"OP", "OP:P2", "OP:P3", "OP:S1", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
		{"a pile that has been heard", true, func(r *Registry) (Removed, error) {
			return r.RemovePile(t.Context(), charge.PileID{Operator: "OP", Equipment: "P1"}, false)
		}, Removed{}, ErrInUse, []string{"OP", "OP:P1", "OP:P2", "OP:P3", "OP:S1", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
		{"a pile that has been heard, by force", true, func(r *Registry) (Removed, error) {
			return r.RemovePile(t.Context(), charge.PileID{Operator: "OP", Equipment: "P1"}, true)
		}, Removed{Piles: 1, Connectors: 2, Credentials: 1}, nil, []string{"OP", "OP:P2", "OP:P3", "OP:S1", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
		{"a pile that is not there", false, func(r *Registry) (Removed, error) {
			return r.RemovePile(t.Context(), charge.PileID{Operator: "OP", Equipment: "P9"}, false)
		}, Removed{}, ErrUnknownPile, []string{"OP", "OP:P1", "OP:P2", "OP:P3", "OP:S1", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
		{"a station with its piles", false, func(r *Registry) (Removed, error) {
			return r.RemoveStation(t.Context(), "OP", "S1", false)
		}, Removed{Stations: 1, Piles: 2, Connectors: 3, Credentials: 1}, nil, []string{"OP", "OP:P3", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
		{"a station with a pile that has been heard", true, func(r *Registry) (Removed, error) {
			return r.RemoveStation(t.Context(), "OP", "S1", false)
		}, Removed{}, ErrInUse, []string{"OP", "OP:P1", "OP:P2", "OP:P3", "OP:S1", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
		{"a station that is not there", false, func(r *Registry) (Removed, error) {
			return r.RemoveStation(t.Context(), "OTHER", "S2", false)
		}, Removed{}, ErrUnknownStation, []string{"OP", "OP:P1", "OP:P2", "OP:P3", "OP:S1", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
		{"an operator with all that is its own", false, func(r *Registry) (Removed, error) {
			return r.RemoveOperator(t.Context(), "OP", false)
		}, Removed{Stations: 2, Piles: 3, Connectors: 4, Credentials: 2}, nil, []string{"OTHER", "OTHER:P1", "OTHER:S1"}},
		{"an operator whose pile has been heard", true, func(r *Registry) (Removed, error) {
			return r.RemoveOperator(t.Context(), "OP", false)
		}, Removed{}, ErrInUse, []string{"OP", "OP:P1", "OP:P2", "OP:P3", "OP:S1", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
		{"an operator that is not there", false, func(r *Registry) (Removed, error) {
			return r.RemoveOperator(t.Context(), "NOBODY", false)
		}, Removed{}, ErrUnknownOperator, []string{"OP", "OP:P1", "OP:P2", "OP:P3", "OP:S1", "OP:S2", "OTHER", "OTHER:P1", "OTHER:S1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := open(t)
			importInto(t, r, removeOperators, removeStations, removePiles)
			tokens := map[string]string{}
			for _, who := range []Identity{{Operator: "OP"}, {Operator: "OP", Pile: "P1"}, {Operator: "OTHER"}} {
				token, _, err := r.IssueCredential(t.Context(), who.Operator, who.Pile)
				if err != nil {
					t.Fatal(err)
				}
				tokens[who.String()] = token
			}
			if tt.heard {
				if err := r.SaveHealth(t.Context(), 0, 1, &Health{Connectors: heard}); err != nil {
					t.Fatal(err)
				}
			}
			d, err := r.Directory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			done, err := tt.remove(r)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || done != tt.done {
				t.Errorf("got %+v, %v; want %+v, %v", done, err, tt.done, tt.err)
			}
			if err := d.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, inDirectory(d)); diff != "" {
				t.Errorf("directory that knew it (-want +got):\n%s", diff)
			}
			fresh, err := r.Directory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, inDirectory(fresh)); diff != "" {
				t.Errorf("directory from the beginning (-want +got):\n%s", diff)
			}
			for name, token := range tokens {
				_, in := d.Authenticate(name, token)
				id := charge.PileID{Operator: charge.OperatorID(strings.TrimSuffix(name, ":P1")), Equipment: "P1"}
				want := slices.Contains(tt.want, name)
				if strings.HasSuffix(name, ":P1") {
					_, want = d.Pile(id)
				}
				if in != want {
					t.Errorf("%s signs in: got %v, want %v", name, in, want)
				}
			}
		})
	}
}

// What is entered again after a mistake is there again, for a directory that has seen nothing of it
// and for one that has seen both.
func TestWhatIsEnteredAgainIsThereAgain(t *testing.T) {
	r := open(t)
	importInto(t, r, removeOperators, removeStations, removePiles)
	asleep, err := r.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	awake, err := r.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refresh := func(d *Directory) {
		t.Helper()
		if err := d.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := inDirectory(asleep)
	token, _, err := r.IssueCredential(t.Context(), "OP", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.RemoveOperator(t.Context(), "OP", false); err != nil {
		t.Fatal(err)
	}
	refresh(awake)
	importInto(t, r, removeOperators, removeStations, removePiles)
	if _, err := r.RemoveStation(t.Context(), "OP", "S2", false); err != nil {
		t.Fatal(err)
	}
	refresh(awake)
	importInto(t, r, "", removeStations, removePiles)
	refresh(awake)
	refresh(asleep)
	for name, d := range map[string]*Directory{"awake": awake, "asleep": asleep} {
		if diff := gocmp.Diff(all, inDirectory(d)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if _, in := d.Authenticate("OP", token); in {
			t.Errorf("%s: a token from before the operator was removed is good again", name)
		}
	}
}
