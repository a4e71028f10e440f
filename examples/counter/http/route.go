package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/perdure/perdure/actor"
)

// maxBody is far more than an action needs.
const maxBody = 64 << 10

// newRoute returns the route POST / of the pattern: its body {"runId":"counter/alice","type":"increment","amount":2}
// resumes the counter's hook by its token. It answers {"ok":true} once the action is durable in the run's event log.
func newRoute(client actor.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge) // a caller that went away does not see it
			return
		}
		var to struct {
			RunID string `json:"runId"`
		}
		if err := json.Unmarshal(body, &to); err != nil {
			http.Error(w, "the request is not a JSON object: "+err.Error(), http.StatusBadRequest)
			return
		}
		if to.RunID == "" {
			http.Error(w, "runId is missing", http.StatusBadRequest)
			return
		}
		// The rest of the body is the action: the hook's schema checks it, fills in the default and drops runId.
		if err := actor.Resume(r.Context(), client, "counter:"+to.RunID, json.RawMessage(body)); err != nil {
			problem(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":true}`+"\n") // a caller that went away is told nothing: the action stays
	})
	return mux
}

// problem answers a failed resume. The codes of calls are those of HTTP.
func problem(w http.ResponseWriter, err error) {
	failure := actor.Errorf(actor.CodeUnavailable, "%v", err)
	errors.As(err, &failure)
	http.Error(w, failure.Message, int(failure.Code))
}
