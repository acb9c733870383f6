// Package cases holds how a pile leaves service (judgement.md §5): the one table of state, action, role and
// next state from which the program, the API, the page and docs/cases.md are made, the deadlines, the
// append-only record, and the dossier. It is pure: no I/O, no clock, no registry.
package cases

import (
	"fmt"
	"slices"

	"pilewatch/internal/charge"
)

// A State is where a case stands.
type State string

// The states. None is that there is no case yet.
const (
	None           State = ""
	Checking       State = "check" // no_energy: a test charge is due
	Suspected      State = "suspected"
	Notified       State = "notified"
	Overdue        State = "overdue"
	Confirmed      State = "confirmed"
	Reviewed       State = "reviewed"
	Decommissioned State = "decommissioned"
	Rectified      State = "rectified"
	Dismissed      State = "dismissed"
	Restored       State = "restored"
	Revoked        State = "revoked"
)

// States gives all states of a case in the order in which it may go through them.
func States() []State {
	return []State{Checking, Suspected, Notified, Overdue, Confirmed, Reviewed, Decommissioned, Rectified, Dismissed, Restored, Revoked}
}

// Open tells whether something is still to be decided: proof of repair then ends the case.
func (s State) Open() bool {
	return slices.Contains([]State{Checking, Suspected, Notified, Overdue, Confirmed, Reviewed}, s)
}

// Running tells whether the case is not at its end: a pile has at most one such.
func (s State) Running() bool { return s.Open() || s == Decommissioned }

// RunningStates gives those states.
func RunningStates() []State {
	return slices.DeleteFunc(States(), func(s State) bool { return !s.Running() })
}

// An Action is what is done with a case.
type Action string

// What people do.
const (
	Notify       Action = "notify"
	Serve        Action = "serve"
	Statement    Action = "state"
	Inspect      Action = "inspect"
	Extend       Action = "extend"
	Dismiss      Action = "dismiss"
	Confirm      Action = "confirm"
	Review       Action = "review"
	Decommission Action = "decommission"
	Restore      Action = "restore"
	Revoke       Action = "revoke"
	Correct      Action = "correct"
)

// What the platform does by itself.
const (
	OpenCheck Action = "open_check" // no_energy holds
	Suspect   Action = "suspect"    // a rule holds, or a check failed or was not done
	Expire    Action = "expire"     // the period has passed
	Prove     Action = "prove"      // the repair is proved
	Relapse   Action = "relapse"    // a new suspicion within 90 days
	Escalate  Action = "escalate"   // nobody has acted: it goes to the province's list
	Lapse     Action = "lapse"      // by a newer, milder policy no ground holds (从旧兼从轻)
	Follow    Action = "follow"     // the machine goes on under another name, and the case with it
)

// Actions gives all actions, people's first.
func Actions() []Action {
	return []Action{
		Notify, Serve, Statement, Inspect, Extend, Dismiss, Confirm, Review, Decommission, Restore, Revoke, Correct,
		OpenCheck, Suspect, Expire, Prove, Relapse, Escalate, Lapse, Follow,
	}
}

// A Role is who acts. Scope is the caller's to see to: what is out of a person's division or operator is not
// found.
type Role string

// The roles. An officer's rank is that of the division.
const (
	Platform        Role = "platform"
	CountyOfficer   Role = "officer_county"
	CityOfficer     Role = "officer_city"
	ProvinceOfficer Role = "officer_province"
	Reviewer        Role = "reviewer"
	Operator        Role = "operator"
	Viewer          Role = "viewer"
	Admin           Role = "admin" // has no case actions
)

// Roles gives all roles.
func Roles() []Role {
	return []Role{Platform, CountyOfficer, CityOfficer, ProvinceOfficer, Reviewer, Operator, Viewer, Admin}
}

// OfficerOf gives the role of an officer of a division; one of a township has a county's.
func OfficerOf(scope charge.DivisionCode) Role {
	switch scope.Level() {
	case charge.Province:
		return ProvinceOfficer
	case charge.City:
		return CityOfficer
	case charge.County, charge.Township:
	}
	return CountyOfficer
}

// Facts is what the needs of a transition are looked up in.
type Facts struct {
	Person         string // who acts
	Text           string // reasons, statement, correction, finding
	DossierHash    string // of the dossier that was frozen with the suspicion
	PolicyDocument string // number and date of the regulation (文号); "" stops every case at overdue

	ServiceValid bool // serve: the service meets Service.Check
	Served       bool // a service has taken effect
	PeriodOver   bool // the period after service has passed
	Extended     bool
	CheckOver    bool // the test charge failed, or its time has passed
	Waiting      bool // longer than the working days of Terms

	SilenceOnly bool   // no ground rests on anything but silence
	Inspected   bool   // an on-site check with photo, time and two officers is recorded
	VisitValid  bool   // inspect: its day is not before the suspicion's and not in the future, or it tells of no visit
	Arguments   int    // of the operator's statements
	Answered    int    // of them, in the reasons
	ConfirmedBy string // who confirmed

	Proved bool // the repair, by every ground
	Lapsed bool // no ground holds by a newer, milder policy
}

// A RefusedError is why an action is not possible; over HTTP it is 409.
type RefusedError struct {
	State  State
	Action Action
	Role   Role
	Need   Need // what is missing; "" where the table has no such row
}

// Error says what was tried and what is missing.
func (e *RefusedError) Error() string {
	if e.Need == "" {
		return fmt.Sprintf("%s a case that is %q as %s: not possible", e.Action, e.State, e.Role)
	}
	return fmt.Sprintf("%s a case that is %q as %s: %s", e.Action, e.State, e.Role, e.Need.English())
}

// Next gives the state after an action, or a *RefusedError.
func Next(state State, action Action, role Role, f Facts) (State, error) {
	for _, row := range Table() {
		if row.From != state || row.Action != action || !slices.Contains(row.Roles, role) {
			continue
		}
		for _, need := range row.Needs {
			if !need.met(&f) {
				return state, &RefusedError{state, action, role, need}
			}
		}
		return row.To, nil
	}
	return state, &RefusedError{State: state, Action: action, Role: role}
}

// Possible gives the rows that a role has in a state, for a page to offer; their needs may not be met yet.
func Possible(state State, role Role) []Row {
	return slices.DeleteFunc(Table(), func(r Row) bool { return r.From != state || !slices.Contains(r.Roles, role) })
}
