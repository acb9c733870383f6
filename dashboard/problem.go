package dashboard

import (
	"encoding/json"
	"errors"
	"net/http"
)

// A problem is an answer that is not what was asked for (RFC 9457).
type problem struct {
	Type     string `json:"type"` // always "about:blank": the status says the kind (RFC 9457 §4.2.1)
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// Error implements error, so that what fails can return a problem.
func (p *problem) Error() string { return p.Title + ": " + p.Detail }

// newProblem makes one; title is short and the same for all of its kind, detail says what to change.
func newProblem(status int, title, detail string) *problem {
	return &problem{Type: "about:blank", Title: title, Status: status, Detail: detail}
}

func badRequest(detail string) *problem {
	return newProblem(http.StatusBadRequest, "bad request", detail)
}

func notFound(detail string) *problem {
	return newProblem(http.StatusNotFound, "not found", detail)
}

// fail answers with err: a problem as it is, anything else as an internal error whose words go to
// the log and not to a stranger.
func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	if !errors.As(err, &p) {
		if r.Context().Err() != nil {
			return // nobody waits for the answer
		}
		d.log.Error("answer a request", "path", r.URL.Path, "err", err)
		p = newProblem(http.StatusInternalServerError, "internal error", "what was asked for cannot be read now; the server's log says why")
	}
	answer := *p
	answer.Instance = r.URL.Path
	text, err := json.Marshal(answer)
	if err != nil {
		d.log.Error("encode a problem", "err", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(answer.Status)
	_, _ = w.Write(text) // whoever asked may have gone
}
