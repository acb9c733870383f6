package charge

import (
	"sort"
	"time"
)

// StationTerms are what a station is judged by, from a day on.
type StationTerms struct {
	From     time.Time // 00:00 Asia/Shanghai; zero: from the beginning
	Township DivisionCode
	Kind     StationKind
	Area     string
	Access   string
	Hours    string
	Seasons  string
	Mobile   bool
}

// Schedule is when the station is open by these terms. Texts from before they were checked, which no
// import takes any more, are always open.
func (t *StationTerms) Schedule() Schedule {
	s, err := ParseSchedule(t.Hours, t.Seasons)
	if err != nil {
		return Schedule{}
	}
	return s
}

// RunAsService tells whether a residential station is run as a service (统建统服): its access is public or limited.
// One that is inner, or of which nothing is said, is a household's own.
func (t *StationTerms) RunAsService() bool {
	return t.Kind == Residential && (t.Access == "public" || t.Access == "limited")
}

// A StationPast is the terms of a station that has changed, by their first days; the first holds
// from the beginning, the last is what the station's own fields say.
type StationPast struct{ Terms []StationTerms }

// Terms are what the station's own fields say, the newest that was entered.
func (s *Station) Terms() StationTerms {
	return StationTerms{
		Township: s.Township, Kind: s.Kind, Area: s.Area, Access: s.Access, Hours: s.Hours, Seasons: s.Seasons, Mobile: s.Mobile,
	}
}

// TownshipAt is where the station is on the day in which at lies, as TermsAt tells.
func (s *Station) TownshipAt(at time.Time) DivisionCode {
	if s.Past == nil || len(s.Past.Terms) == 0 {
		return s.Township
	}
	return s.termsAt(at).Township
}

// TermsAt gives the terms that hold on the day (Asia/Shanghai) in which at lies. A change holds from
// the day after it was entered, so this may differ from the station's own fields.
func (s *Station) TermsAt(at time.Time) StationTerms {
	if s.Past == nil || len(s.Past.Terms) == 0 {
		return s.Terms()
	}
	return *s.termsAt(at)
}

func (s *Station) termsAt(at time.Time) *StationTerms {
	all := s.Past.Terms
	after := sort.Search(len(all), func(i int) bool { return all[i].From.After(at) })
	return &all[max(after-1, 0)]
}
