package longfailed

import "time"

// A Proof is how far the repair of one ground is proved.
type Proof struct {
	Ground Rule
	Proved bool
	On     time.Time // the day that completed it, zero before
	// The run that completed it, or the newest: whole days that hold the time asked for.
	From         time.Time
	Minutes      int64 // of unexcused service
	Usable       int64 // of them
	BreakMinutes int64 // the longest break
	Session      bool  // one of at least 1 kWh by the meter, or an inspector's test charge
}

// Prove looks for proof of repair of every ground in the days from since (the suspicion) on; done only where
// all grounds are proved. tests are the times of inspectors' recorded test charges of at least 1 kWh.
// policies are the one in force when the case opened and those since: the operator has the benefit of each.
//
//   - silent, faulted, not_usable: 72 hours of unexcused service, usable at least 95 %, no break over 2
//     hours, and a session or test charge within. The hours are those of whole days, so that proof comes up
//     to a day later than by minutes; the break that a run begins in counts from its first midnight.
//   - no_energy: a session or test charge alone.
//   - unreliable: 14 days at 90 % or better.
func Prove(grounds []Rule, days []Day, since time.Time, tests []time.Time, policies ...Policy) (proofs []Proof, done bool) {
	done = len(grounds) > 0
	for len(days) > 0 && days[0].Date.Before(since) {
		days = days[1:]
	}
	for _, ground := range grounds {
		best := Proof{Ground: ground}
		for i := range policies {
			if p := policies[i].Proof.prove(ground, days, since, tests); i == 0 || p.Proved && !best.Proved {
				best = p
			}
		}
		proofs = append(proofs, best)
		done = done && best.Proved
	}
	return proofs, done
}

func (r ProofRule) prove(ground Rule, days []Day, since time.Time, tests []time.Time) Proof {
	newest := Proof{Ground: ground}
	for n := 1; n <= len(days); n++ {
		var p Proof
		switch ground {
		case NoEnergy:
			p = run(days[:n], since, tests, 0)
			p.Proved = p.Session
		case Unreliable:
			p = run(days[:n], since, tests, int64(r.UnreliableDays)*dayMinutes)
			p.Proved = p.Minutes >= int64(r.UnreliableDays)*dayMinutes && part(p.Usable, p.Minutes) >= r.UnreliableAtLeast
		case Silent, Faulted, NotUsable:
			p = run(days[:n], since, tests, int64(r.Hours)*60)
			p.Proved = p.Minutes >= int64(r.Hours)*60 && part(p.Usable, p.Minutes) >= r.UsableAtLeast &&
				p.BreakMinutes <= int64(r.BreakMinutes) && p.Session
		}
		p.Ground = ground
		if newest = p; p.Proved {
			newest.On = days[n-1].Date
			return newest
		}
	}
	return newest
}

// reliable tells whether the newest days are what proves the repair of unreliable.
func (r ProofRule) reliable(days []Day, since time.Time) bool {
	w, full := Look(days, since, r.UnreliableDays*dayMinutes)
	return full && r.UnreliableDays > 0 && w.Share(w.Usable) >= r.UnreliableAtLeast
}

// run takes the newest whole days that hold minutes of unexcused service, or the newest day for 0 minutes.
func run(days []Day, since time.Time, tests []time.Time, minutes int64) Proof {
	w, _ := Look(days, since, int(max(minutes, 1)))
	first := len(days)
	for first > 0 && !days[first-1].Date.Before(w.From) {
		first--
	}
	p := Proof{From: w.From, Minutes: w.Unexcused(), Usable: w.Usable, BreakMinutes: longestBreak(days[first:]), Session: w.Sessions > 0}
	for _, at := range tests {
		p.Session = p.Session || !at.Before(w.From) && at.Before(w.Until)
	}
	return p
}

// longestBreak joins breaks across midnight. A day that is excused or closed whole neither adds to a break
// nor ends it; one without a usable minute is part of one break.
func longestBreak(days []Day) int64 {
	var longest, open int64
	for i := range days {
		d := &days[i].Pile
		switch whole := unexcused(d); {
		case whole == 0:
		case d.Usable == 0:
			open += whole
		default:
			longest = max(longest, open+int64(d.BreakFirst), int64(d.BreakLongest))
			open = int64(d.BreakLast)
		}
		longest = max(longest, open)
	}
	return longest
}
