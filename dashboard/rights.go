package dashboard

import (
	"net/http"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
)

// Who may see and do what is decided in this file, for the API, the WebSocket, the exports and the
// page alike. What a viewer may not see is not there for it: 404, never 403 (design: "Dashboard").

// A viewer is who asks. The zero viewer has not signed in.
type viewer struct {
	registry.Grant
	name       string // as it stands in the log; "" of a stranger
	fullName   string
	account    int64  // 0: a token, or a stranger
	session    string // the cookie's secret; "" without one
	local      bool   // has a password here
	mustChange bool   // it, before anything else
	demo       bool
	public     bool // anyone may read what is public
}

func (v *viewer) signedIn() bool { return v.Role != "" }

// same tells whether another look at the same request found the same rights.
func (v *viewer) same(o *viewer) bool {
	return v.Grant == o.Grant && v.name == o.name && v.session == o.session && v.mustChange == o.mustChange && v.public == o.public
}

// A need is what a path of the API asks of its viewer.
type need int

const (
	needsNothing   need = iota // signing in itself
	needsReading               // something to read
	needsLoad                  // figures that tell operators' business: load and energy
	needsRecords               // what was rejected and what is unknown: samples of payloads
	needsBridges               // operators' brokers, all of them
	needsCases                 // cases of long-failed piles, open ones too
	needsExcuses               // excused time and who asks for it
	needsClaims                // asking for excused time
	needsDecisions             // granting and confirming what operators ask for, registering piles
	needsPassword              // an account with a password here
	needsAdmin                 // accounts, tokens and what was done to them
)

// may tells whether a viewer has what a path needs.
func (v *viewer) may(n need) bool {
	switch n {
	case needsNothing:
		return true
	case needsReading:
		return v.public || v.signedIn()
	case needsLoad:
		return v.public || v.signedIn() && v.Role != registry.Operator
	case needsRecords:
		return v.Role == registry.Officer || v.Role == registry.Operator || v.Role == registry.Admin
	case needsBridges:
		return v.Role == registry.Officer || v.Role == registry.Admin
	case needsCases:
		return v.signedIn()
	case needsExcuses:
		return v.Role == registry.Officer || v.Role == registry.Reviewer || v.Role == registry.Operator || v.Role == registry.Admin
	case needsClaims:
		return v.Role == registry.Officer || v.Role == registry.Operator || v.Role == registry.Admin
	case needsDecisions:
		return v.Role == registry.Officer || v.Role == registry.Admin
	case needsPassword:
		return v.account != 0 && v.local && !v.demo
	case needsAdmin:
		return v.Role == registry.Admin
	}
	return false
}

// refusal is the answer to a viewer that lacks what a path needs; nil where it does not.
func (v *viewer) refusal(n need) error {
	switch {
	case v.mustChange && n != needsNothing && n != needsPassword:
		return newProblem(http.StatusForbidden, "change the password first", "the password was given by somebody else; POST /api/v1/password changes it")
	case v.may(n):
		return nil
	case !v.signedIn():
		return newProblem(http.StatusUnauthorized, "sign in first", "sign in at POST /api/v1/session, or send an API token as Bearer token")
	}
	return notFound("there is no such path for the role " + string(v.Role))
}

// words name what a viewer may, so that the page offers nothing that it would be refused.
func (v *viewer) words() []string {
	all := []string{}
	for _, w := range []struct {
		need need
		word string
	}{{needsLoad, "load"}, {needsRecords, "records"}, {needsBridges, "bridges"}, {needsCases, "cases"}, {needsExcuses, "excuses"}, {needsClaims, "claims"}, {needsDecisions, "decisions"}, {needsPassword, "password"}, {needsAdmin, "accounts"}} {
		if v.may(w.need) {
			all = append(all, w.word)
		}
	}
	return all
}

// within tells whether a division, or all that is in it, lies in the viewer's own scope.
func (v *viewer) within(code charge.DivisionCode) bool {
	switch v.Role {
	case registry.Admin:
		return true
	case registry.Viewer, registry.Officer, registry.Reviewer:
		return code.Within(charge.DivisionCode(v.Scope))
	}
	return false
}

// maySee tells whether the figures of a division are there for the viewer. Operators see coverage
// everywhere: it names nobody.
func (v *viewer) maySee(code charge.DivisionCode) bool {
	return v.public || v.Role == registry.Operator || v.within(code)
}

// home is the division that is shown where none is named.
func (v *viewer) home(province charge.DivisionCode) charge.DivisionCode {
	if !v.maySee(province) {
		return charge.DivisionCode(v.Scope)
	}
	return province
}

// caseHome is the division whose cases are listed where none is named: the own scope of who has one, also where the
// public may see the province.
func (v *viewer) caseHome(province charge.DivisionCode) charge.DivisionCode {
	switch v.Role {
	case registry.Viewer, registry.Officer, registry.Reviewer:
		return charge.DivisionCode(v.Scope)
	case registry.Operator, registry.Admin:
	}
	return province
}

// A sight is how much of a pile there is for a viewer.
type sight int

const (
	hidden sight = iota // it is not there
	openly              // without order numbers and the texts of its alarms
	wholly
)

// sightOf tells how much of a pile a viewer may see.
func (v *viewer) sightOf(kind charge.StationKind, operator charge.OperatorID, township charge.DivisionCode) sight {
	switch {
	case v.within(township), v.Role == registry.Operator && string(operator) == v.Scope:
		return wholly
	case v.public && kind != charge.Residential:
		return openly
	}
	return hidden
}

// narrow keeps a search for piles to where the viewer may find any. It is false where it asks for
// what is not there for the viewer.
func (v *viewer) narrow(q *registry.PileQuery) bool {
	if v.public || v.Role == registry.Admin {
		return true
	}
	if v.Role == registry.Operator {
		if q.Operator == "" {
			q.Operator = charge.OperatorID(v.Scope)
		}
		return string(q.Operator) == v.Scope
	}
	if q.Division == "" {
		q.Division = charge.DivisionCode(v.Scope)
	}
	return v.within(q.Division)
}

// mayNameOperator tells whether a filter by operator has an answer for the viewer.
func (v *viewer) mayNameOperator(operator string) bool {
	return v.Role != registry.Operator || operator == "" || operator == v.Scope
}

// maySeeOperator tells whether what is summed over all of an operator's piles is there for the viewer.
func (v *viewer) maySeeOperator(operator charge.OperatorID, province charge.DivisionCode) bool {
	if v.Role == registry.Operator && string(operator) == v.Scope {
		return true
	}
	return v.public || v.within(province)
}

// maySeeEvent tells whether something that happened is there for the viewer.
func (v *viewer) maySeeEvent(e *charge.Event) bool {
	return v.public || v.within(e.Township) || v.Role == registry.Operator && string(operatorOf(e)) == v.Scope
}

// maySeeReject tells whether a message that could not be used is there for the viewer: by its
// sender, or by where its pile stands. One of no registered pile is for those of the whole province.
func (v *viewer) maySeeReject(r *journal.Reject, province charge.DivisionCode, townshipOf func(charge.PileID) (charge.DivisionCode, bool)) bool {
	if v.Role == registry.Operator {
		return r.Operator == v.Scope
	}
	if v.within(province) {
		return true
	}
	township, known := townshipOf(charge.PileID{Operator: charge.OperatorID(r.Operator), Equipment: r.Pile})
	return known && v.within(township)
}

// excuseScope is where an excuse lies: the township of its pile, its division, or nowhere ("") where it is
// of a whole operator or of a pile that is not registered any more.
func excuseScope(e *charge.Excuse, townshipOf func(charge.PileID) (charge.DivisionCode, bool)) charge.DivisionCode {
	if e.Pile != "" {
		township, _ := townshipOf(charge.PileID{Operator: e.Operator, Equipment: e.Pile})
		return township
	}
	return e.Division
}

// mayDecide tells whether what lies somewhere is the viewer's to decide; what lies nowhere is for those
// of the whole province.
func (v *viewer) mayDecide(where, province charge.DivisionCode) bool {
	return v.may(needsDecisions) && (v.within(province) || where != "" && v.within(where))
}

// maySeeExcuse tells whether an excuse is there for the viewer: those of its own piles, of piles and divisions
// in its scope, and of the divisions around it.
func (v *viewer) maySeeExcuse(e *charge.Excuse, where, province charge.DivisionCode) bool {
	if v.Role == registry.Operator {
		return e.Operator == "" || string(e.Operator) == v.Scope
	}
	if e.Operator == "" && charge.DivisionCode(v.Scope).Within(e.Division) {
		return true
	}
	return v.within(province) || where != "" && v.within(where)
}

// person is who stands on the record of a case.
func (v *viewer) person() string { return v.name }

// mayAct tells whether the viewer is somebody who can stand for a step: a person, not a program or a demo's visitor
// without a name of their own.
func (v *viewer) mayAct() bool { return v.account != 0 }

// inspects is why the viewer cannot draw inspections or record one; nil where it can.
func (v *viewer) inspects() error {
	if v.Role != registry.Officer || !v.mayAct() {
		return newProblem(http.StatusConflict, "not possible", "only an officer who has signed in with an account inspects")
	}
	return nil
}

// caseRole is the viewer's in the table of package cases.
func (v *viewer) caseRole() cases.Role {
	switch v.Role {
	case registry.Officer:
		return cases.OfficerOf(charge.DivisionCode(v.Scope))
	case registry.Reviewer:
		return cases.Reviewer
	case registry.Operator:
		return cases.Operator
	case registry.Admin:
		return cases.Admin
	case registry.Viewer:
	}
	return cases.Viewer
}

// sightOfCase tells how much of a case there is for a viewer: the public sees that a decided one is there.
func (v *viewer) sightOfCase(c *registry.Case) sight {
	switch {
	case v.within(c.Township), v.Role == registry.Operator && string(c.Pile.Operator) == v.Scope:
		return wholly
	case v.public && decided(c.State):
		return openly
	}
	return hidden
}
