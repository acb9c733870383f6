package dashboard

import (
	"net/http"
	"time"
)

// A policyView is a version of the policy.
type policyView struct {
	Version string     `json:"version"`
	From    *string    `json:"from"` // its first day; null: since ever
	Entered *time.Time `json:"entered"`
	InForce bool       `json:"in_force"` // today
	File    string     `json:"file"`     // as it was imported
}

// getPolicies gives the policy's versions, the newest first.
func (d *Dashboard) getPolicies(w http.ResponseWriter, r *http.Request) error {
	files, err := d.registry.PolicyFiles(r.Context())
	if err != nil {
		return err
	}
	now := d.divisions.Policies().At(time.Now()).Version
	rows := []policyView{}
	for i := len(files) - 1; i >= 0; i-- {
		f := &files[i]
		v := policyView{Version: f.Version, Entered: orNull(f.Entered), InForce: f.Version == now, File: string(f.File)}
		if !f.From.IsZero() {
			day := f.From.Format(time.DateOnly)
			v.From = &day
		}
		rows = append(rows, v)
	}
	return replyTagged(w, r, map[string]any{"policies": rows})
}
