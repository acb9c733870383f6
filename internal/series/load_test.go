package series

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"pilewatch/internal/charge"
)

// A longStore is what both histories can do with windows, energy and coverage.
type longStore interface {
	store
	Draws(ctx context.Context, from, to time.Time, fn func(charge.ConnectorKey, []charge.Draw)) error
	WriteLoads(ctx context.Context, loads []Load) error
	Loads(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]Load, error)
	OperatorLoads(ctx context.Context, from, to time.Time) ([]Load, error)
	WriteEnergies(ctx context.Context, energies []Energy) error
	Energies(ctx context.Context, q EnergyQuery) ([]Energy, error)
	WriteCoverage(ctx context.Context, days []Coverage) error
	Coverages(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]Coverage, error)
	WriteAvailability(ctx context.Context, days []Availability) error
	Availabilities(ctx context.Context, pile charge.PileID, from, to time.Time) ([]Availability, error)
}

var equal = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateApprox(1e-12, 1e-9)}

// suiteDraws has a day to itself, since what it asks for is of all piles.
func suiteDraws(t *testing.T, s longStore) {
	noon := today.Add(-3 * 24 * time.Hour)
	at := func(pile string, second int, change func(*charge.Reading)) charge.Reading {
		r := reading(pile, time.Duration(second)*time.Second-3*24*time.Hour, 0, 0)
		r.Has, r.Status = 0, 0
		change(&r)
		return r
	}
	power := func(kw float64) func(*charge.Reading) {
		return func(r *charge.Reading) { r.Has, r.PowerKW = charge.HasPower, kw }
	}
	both := func(kw float64, status charge.Status) func(*charge.Reading) {
		return func(r *charge.Reading) { r.Has, r.PowerKW, r.Status = charge.HasPower|charge.HasStatus, kw, status }
	}
	status := func(status charge.Status) func(*charge.Reading) {
		return func(r *charge.Reading) { r.Kind, r.Has, r.Status = charge.KindStatus, charge.HasStatus, status }
	}
	silent := func(r *charge.Reading) { r.Has, r.TempC = charge.HasTemp, 20 }
	order := func(r *charge.Reading) {
		r.Kind, r.Has, r.EnergyKWh, r.PowerKW = charge.KindOrder, charge.HasEnergy|charge.HasPower, 12, 99
	}
	chargingOnly := func(r *charge.Reading) { r.Has, r.Status = charge.HasStatus, charge.Charging }
	if err := s.Write(t.Context(), []charge.Reading{
		at("B", 30, both(30, charge.Charging)), at("A", 15, both(60, charge.Charging)), at("A", 0, power(7)), at("A", 45, status(charge.Idle)),
		at("A", 60, both(0, charge.Occupied)), at("A", 90, silent), at("A", 100, order), at("A", 110, chargingOnly),
		at("A", 120, status(charge.Faulted)), at("A", 120, both(5, charge.Charging)), at("A", -1, power(1)), at("A", 180, power(1)), at("C", 0, silent),
	}); err != nil {
		t.Fatal(err)
	}
	got := map[string][]charge.Draw{}
	var keys []string
	if err := s.Draws(t.Context(), noon, noon.Add(3*time.Minute), func(key charge.ConnectorKey, draws []charge.Draw) {
		keys = append(keys, key.Pile.Equipment)
		got[key.Pile.Equipment] = append([]charge.Draw{}, draws...)
	}); err != nil {
		t.Fatal(err)
	}
	ms := func(second int64) int64 { return noon.UnixMilli() + second*1000 }
	want := map[string][]charge.Draw{
		"A": {
			{AtMS: ms(0), PowerKW: 7, Charging: true},
			{AtMS: ms(15), PowerKW: 60, Charging: true},
			{AtMS: ms(45)},
			{AtMS: ms(60)},
			{AtMS: ms(120)},
			{AtMS: ms(120), PowerKW: 5, Charging: true},
		},
		"B": {{AtMS: ms(30), PowerKW: 30, Charging: true}},
	}
	if diff := cmp.Diff(want, got); diff != "" || strings.Join(keys, "") != "AB" {
		t.Errorf("Draws of %v (-want +got):\n%s", keys, diff)
	}
}

func suiteLoads(t *testing.T, s longStore) {
	minutes := func(kw ...float64) (m [15]float64) {
		copy(m[:], kw)
		return m
	}
	row := func(division string, partition int, after time.Duration, kWh float64, kw ...float64) Load {
		return Load{Start: today.Add(after), Division: charge.DivisionCode(division), Partition: partition, EnergyKWh: kWh, Charging: kWh / 10, Minutes: minutes(kw...)}
	}
	county := row("371721", 0, 0, 10, 60, 0)
	county.Operators = map[charge.OperatorID]float64{"MA3TEST01": 4, "MA3TEST02": 6}
	again := county
	again.EnergyKWh, again.Operators = 11, map[charge.OperatorID]float64{"MA3TEST01": 11}
	emptied := row("371722", 0, 0, 1, 1)
	emptied.Operators = map[charge.OperatorID]float64{"MA3TEST01": 1}
	empty := row("371722", 0, 0, 0)
	for _, batch := range [][]Load{
		{county, emptied, row("371721", 1, 0, 5, 0, 90), row("371721", 0, 15*time.Minute, 3, 1), row("3717", 0, 0, 99, 5), row("371721", 0, -time.Hour, 1, 1), row("371721", 0, 2*time.Hour, 1, 1)},
		{again, empty}, // a late reading
		nil,
	} {
		if err := s.WriteLoads(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Loads(t.Context(), "371721", today, today.Add(time.Hour))
	want := []Load{
		{Start: today, Division: "371721", EnergyKWh: 16, Charging: 1.5, Minutes: minutes(60, 90)},
		{Start: today.Add(15 * time.Minute), Division: "371721", EnergyKWh: 3, Charging: 0.3, Minutes: minutes(1)},
	}
	if diff := cmp.Diff(want, got, equal); err != nil || diff != "" {
		t.Errorf("Loads: %v (-want +got):\n%s", err, diff)
	}
	if len(got) > 0 && (got[0].MaxKW() != 90 || got[0].PowerKW() != 64) {
		t.Errorf("largest minute and mean: got %v and %v kW, want 90, of the sum, and 64", got[0].MaxKW(), got[0].PowerKW())
	}
	operators, err := s.OperatorLoads(t.Context(), today, today.Add(time.Hour))
	if diff := cmp.Diff([]Load{{Start: today, Division: "371721", Operators: again.Operators}}, operators, equal); err != nil || diff != "" {
		t.Errorf("OperatorLoads: %v (-want +got):\n%s", err, diff)
	}
	for _, tt := range []struct {
		name     string
		division charge.DivisionCode
		span     time.Duration
		want     string
	}{
		{"not a division", `37" or true`, time.Hour, "want 2, 4, 6 or 9 digits"},
		{"backwards", "37", -time.Hour, "is not before"},
		{"too long", "37", MaxLoadRange + time.Second, "at most"},
	} {
		if rows, err := s.Loads(t.Context(), tt.division, today, today.Add(tt.span)); err == nil || !strings.Contains(err.Error(), tt.want) || rows != nil {
			t.Errorf("Loads, %s: got %d rows, %v, want %q", tt.name, len(rows), err, tt.want)
		}
	}
}

func suiteEnergies(t *testing.T, s longStore) {
	midnight := today.Add(-12 * time.Hour)
	energy := func(day int, division, operator string, partition int, kWh float64) Energy {
		return Energy{Day: midnight.AddDate(0, 0, day), Division: charge.DivisionCode(division), Operator: charge.OperatorID(operator), Partition: partition, EnergyKWh: kWh}
	}
	for _, batch := range [][]Energy{
		{
			energy(0, "37", "MA3TEST01", 0, 1), energy(0, "37", "MA3TEST01", 1, 2), energy(0, "37", "MA3TEST02", 0, 4), energy(1, "37", "MA3TEST01", 0, 7),
			energy(0, "3717", "MA3TEST01", 0, 3), energy(0, "3701", "MA3TEST01", 0, 5), energy(0, "371721", "MA3TEST01", 0, 9), energy(0, "371701", "MA3TEST02", 0, 6),
			energy(-1, "37", "MA3TEST01", 0, 100), energy(2, "37", "MA3TEST01", 0, 100), energy(0, "36", "MA3TEST01", 0, 100), energy(0, "3601", "MA3TEST01", 0, 100),
		},
		{energy(1, "37", "MA3TEST01", 0, 8)},
	} {
		if err := s.WriteEnergies(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name     string
		division charge.DivisionCode
		by       EnergyBy
		want     []Energy
	}{
		{"by day", "37", ByDay, []Energy{energy(0, "37", "", 0, 7), energy(1, "37", "", 0, 8)}},
		{"by operator", "37", ByOperator, []Energy{energy(0, "37", "MA3TEST01", 0, 3), energy(0, "37", "MA3TEST02", 0, 4), energy(1, "37", "MA3TEST01", 0, 8)}},
		{"by city", "37", ByCity, []Energy{energy(0, "3701", "", 0, 5), energy(0, "3717", "", 0, 3)}},
		{"a city's counties", "3717", ByCity, []Energy{energy(0, "371701", "", 0, 6), energy(0, "371721", "", 0, 9)}},
		{"a county has no parts here", "371721", ByCity, []Energy{energy(0, "371721", "", 0, 9)}},
		{"nothing there", "35", ByDay, nil},
	} {
		got, err := s.Energies(t.Context(), EnergyQuery{Division: tt.division, From: midnight, To: midnight.AddDate(0, 0, 2), By: tt.by})
		if diff := cmp.Diff(tt.want, got, equal); err != nil || diff != "" {
			t.Errorf("Energies %s: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
	if _, err := s.Energies(t.Context(), EnergyQuery{Division: "37", From: midnight, To: midnight.Add(MaxWindowRange + 1), By: ByDay}); !errors.Is(err, ErrTooMuch) {
		t.Errorf("Energies of more than a year: got %v, want %v", err, ErrTooMuch)
	}
	if _, err := s.Energies(t.Context(), EnergyQuery{Division: "37", From: midnight, To: today, By: "moon"}); err == nil {
		t.Error("Energies by the moon: got no error")
	}
}

func suiteCoverage(t *testing.T, s longStore) {
	midnight := today.Add(-12 * time.Hour)
	day := func(n int, division string, effective int) Coverage {
		return Coverage{Day: midnight.AddDate(0, 0, n), Division: charge.DivisionCode(division), Total: 1129, Effective: effective, Failing: 3, Unverified: 2, Starting: 1, None: 4, Connectors: 9, Usable: 8}
	}
	for _, batch := range [][]Coverage{{day(0, "37", 500), day(1, "37", 501), day(0, "3717", 20), day(2, "37", 502)}, {day(1, "37", 511)}} {
		if err := s.WriteCoverage(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Coverages(t.Context(), "37", midnight, midnight.AddDate(0, 0, 2))
	if diff := cmp.Diff([]Coverage{day(0, "37", 500), day(1, "37", 511)}, got); err != nil || diff != "" {
		t.Errorf("Coverages: %v (-want +got):\n%s", err, diff)
	}
	if _, err := s.Coverages(t.Context(), "37", midnight, midnight.Add(LongKeep+1)); !errors.Is(err, ErrTooMuch) {
		t.Errorf("Coverages of more than is kept: got %v, want %v", err, ErrTooMuch)
	}
}

func suiteAvailability(t *testing.T, s longStore) {
	midnight := today.Add(-12 * time.Hour)
	pile := func(id string) charge.PileID { return charge.PileID{Operator: "MA3TEST01", Equipment: id} }
	day := func(n int, id string, usable uint16) Availability {
		return Availability{Day: midnight.AddDate(0, 0, n), Pile: pile(id), Minutes: charge.DayMinutes{
			Usable: usable, Excused: 60, Out: 300, Unknown: 120, Fault: 200, Heard: 1260, Blocked: 7, BreakFirst: 1, BreakLongest: 299, BreakLast: 3,
			EnergyWh: 4_000_000_000, Sessions: 255,
		}}
	}
	frozen := func(a Availability) Availability {
		a.Frozen = true
		return a
	}
	for _, batch := range [][]Availability{{day(0, "A", 960), day(1, "A", 1), day(0, "B", 2), day(2, "A", 3)}, {frozen(day(1, "A", 959))}, nil} {
		if err := s.WriteAvailability(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Availabilities(t.Context(), pile("A"), midnight, midnight.AddDate(0, 0, 2))
	if diff := cmp.Diff([]Availability{day(0, "A", 960), frozen(day(1, "A", 959))}, got); err != nil || diff != "" {
		t.Errorf("Availabilities: %v (-want +got):\n%s", err, diff)
	}
	if got, err := s.Availabilities(t.Context(), pile("C"), midnight, midnight.AddDate(0, 0, 2)); err != nil || len(got) != 0 {
		t.Errorf("Availabilities of a pile that has none: got %v, %v", got, err)
	}
	if _, err := s.Availabilities(t.Context(), pile(`A" or true`), midnight, midnight.AddDate(0, 0, 2)); err == nil {
		t.Error("Availabilities of what is no pile: got no error")
	}
	if err := s.WriteAvailability(t.Context(), []Availability{day(0, "A B", 1)}); err == nil {
		t.Error("WriteAvailability of what is no pile: got no error")
	}
	if _, err := s.Availabilities(t.Context(), pile("A"), midnight, midnight.Add(LongKeep+1)); !errors.Is(err, ErrTooMuch) {
		t.Errorf("Availabilities of more than is kept: got %v, want %v", err, ErrTooMuch)
	}
}
