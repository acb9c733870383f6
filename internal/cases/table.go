package cases

// A Row is one transition: who may do what in which state, what must be there, and what comes of it.
type Row struct {
	From   State
	Action Action
	Roles  []Role
	To     State
	Needs  []Need
}

// Table is all that can be done with a case; anything else is refused. No case skips a step.
func Table() []Row {
	platform := []Role{Platform}
	anyOfficer := []Role{CountyOfficer, CityOfficer, ProvinceOfficer}
	cityUp := []Role{CityOfficer, ProvinceOfficer}
	province := []Role{ProvinceOfficer}
	operator := []Role{Operator}
	reviewer := []Role{Reviewer}
	reasons := []Need{NeedText}
	visit := []Need{NeedText, NeedVisitDay}
	table := []Row{
		{None, OpenCheck, platform, Checking, []Need{NeedDossier}},
		{None, Suspect, platform, Suspected, []Need{NeedDossier}},
		{Rectified, Relapse, platform, Suspected, []Need{NeedDossier}},

		{Checking, Inspect, anyOfficer, Checking, visit},
		{Checking, Suspect, platform, Suspected, []Need{NeedCheckOver, NeedDossier}},
		{Checking, Dismiss, cityUp, Dismissed, reasons},

		{Suspected, Notify, cityUp, Notified, []Need{NeedDossier, NeedText}},
		{Suspected, Statement, operator, Suspected, reasons},
		{Suspected, Inspect, anyOfficer, Suspected, visit},
		{Suspected, Dismiss, cityUp, Dismissed, reasons},
		{Suspected, Escalate, platform, Suspected, []Need{NeedWaiting}},

		{Notified, Serve, cityUp, Notified, []Need{NeedUnserved, NeedService}},
		{Notified, Statement, operator, Notified, reasons},
		{Notified, Inspect, anyOfficer, Notified, visit},
		{Notified, Extend, cityUp, Notified, []Need{NeedServed, NeedInPeriod, NeedFirstExtension, NeedText}},
		{Notified, Dismiss, cityUp, Dismissed, reasons},
		{Notified, Expire, platform, Overdue, []Need{NeedServed, NeedPeriodOver}},

		{Overdue, Statement, operator, Overdue, reasons},
		{Overdue, Inspect, anyOfficer, Overdue, visit},
		{Overdue, Dismiss, cityUp, Dismissed, reasons},
		{Overdue, Confirm, province, Confirmed, []Need{NeedDocument, NeedText, NeedInspection, NeedAnswers}},
		{Overdue, Escalate, platform, Overdue, []Need{NeedWaiting}},

		{Confirmed, Inspect, anyOfficer, Confirmed, visit},
		{Confirmed, Dismiss, province, Dismissed, reasons},
		{Confirmed, Review, reviewer, Reviewed, []Need{NeedDocument, NeedText, NeedAnotherPerson}},

		{Reviewed, Inspect, anyOfficer, Reviewed, visit},
		{Reviewed, Dismiss, province, Dismissed, reasons},
		{Reviewed, Decommission, province, Decommissioned, []Need{NeedDocument, NeedText}},

		{Decommissioned, Inspect, anyOfficer, Decommissioned, visit},
		{Decommissioned, Prove, platform, Decommissioned, []Need{NeedProof}},
		{Decommissioned, Restore, province, Restored, []Need{NeedProof, NeedText}},
		{Decommissioned, Revoke, province, Revoked, reasons},
	}
	for _, s := range States() {
		if s.Running() {
			table = append(table, Row{s, Follow, platform, s, reasons})
		}
		if s.Open() {
			table = append(table, Row{s, Prove, platform, Rectified, []Need{NeedProof}}, Row{s, Lapse, platform, Dismissed, []Need{NeedMilder}})
		}
		table = append(table, Row{s, Correct, cityUp, s, reasons})
	}
	return table
}

// A Need is what must be there for a transition.
type Need string

// The needs.
const (
	NeedText           Need = "text"
	NeedDossier        Need = "dossier"
	NeedDocument       Need = "document"
	NeedUnserved       Need = "unserved"
	NeedService        Need = "service"
	NeedServed         Need = "served"
	NeedInPeriod       Need = "in_period"
	NeedPeriodOver     Need = "period_over"
	NeedFirstExtension Need = "first_extension"
	NeedInspection     Need = "inspection"
	NeedVisitDay       Need = "visit_day"
	NeedAnswers        Need = "answers"
	NeedAnotherPerson  Need = "another_person"
	NeedProof          Need = "proof"
	NeedCheckOver      Need = "check_over"
	NeedWaiting        Need = "waiting"
	NeedMilder         Need = "milder"
)

// Needs gives all needs.
func Needs() []Need {
	return []Need{
		NeedText, NeedDossier, NeedDocument, NeedUnserved, NeedService, NeedServed, NeedInPeriod, NeedPeriodOver,
		NeedFirstExtension, NeedInspection, NeedVisitDay, NeedAnswers, NeedAnotherPerson, NeedProof, NeedCheckOver, NeedWaiting, NeedMilder,
	}
}

func (n Need) met(f *Facts) bool {
	switch n {
	case NeedText:
		return f.Text != ""
	case NeedDossier:
		return f.DossierHash != ""
	case NeedDocument:
		return f.PolicyDocument != ""
	case NeedUnserved:
		return !f.Served
	case NeedService:
		return f.ServiceValid
	case NeedServed:
		return f.Served
	case NeedInPeriod:
		return !f.PeriodOver
	case NeedPeriodOver:
		return f.PeriodOver
	case NeedFirstExtension:
		return !f.Extended
	case NeedInspection:
		return f.Inspected || !f.SilenceOnly
	case NeedVisitDay:
		return f.VisitValid
	case NeedAnswers:
		return f.Answered >= f.Arguments
	case NeedAnotherPerson:
		return f.Person != "" && f.ConfirmedBy != "" && f.Person != f.ConfirmedBy
	case NeedProof:
		return f.Proved
	case NeedCheckOver:
		return f.CheckOver
	case NeedWaiting:
		return f.Waiting
	case NeedMilder:
		return f.Lapsed
	}
	return false
}
