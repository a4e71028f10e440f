// Package anthropictest is a local server that speaks the streaming protocol of Anthropic's Messages API, with its
// failures, for tests that must not leave the machine.
package anthropictest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"

	"github.com/perdure/perdure/examples/session/agent"
)

// Server answers POST /v1/messages with what its model says.
type Server struct {
	*httptest.Server
	model agent.Model

	mu       sync.Mutex
	faults   []Fault
	requests []Request
	gone     int
	changed  chan struct{} // closed and made anew when something happens
}

// Request is what was asked.
type Request struct {
	Model     string
	APIKey    string
	Asked     agent.Request
	MaxTokens int
}

// Fault is how a request goes wrong. The zero value is none.
type Fault struct {
	Status     int    // answered instead of a stream
	RetryAfter string // header, with Status
	Type       string // of the error, with Status or Ending Failed; default overloaded_error
	Then       Ending // how the stream ends
	After      int    // after so many events of text or input
}

// Ending is how a stream ends before its time.
type Ending int

// The endings of streams.
const (
	Complete  Ending = iota
	Cut              // the connection breaks
	Short            // the stream ends as if all was said
	Malformed        // an event that is not JSON
	Failed           // an error event
	Silent           // nothing more is said until the client goes away
)

// New starts a server that says what model says.
func New(model agent.Model) *Server {
	s := &Server{model: model, changed: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	return s
}

// Next makes the next requests fail, one each.
func (s *Server) Next(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Requests returns what was asked so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Gone returns how many clients went away before their answer was complete.
func (s *Server) Gone() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// Changed is closed at the next request, and at the next client that goes away.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Server) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path != "/v1/messages" || !in.Stream {
		fail(w, Fault{Status: http.StatusBadRequest, Type: "invalid_request_error"})
		return
	}
	asked, err := in.asked()
	if err != nil {
		fail(w, Fault{Status: http.StatusBadRequest, Type: "invalid_request_error"})
		return
	}
	var fault Fault
	s.note(func() {
		s.requests = append(s.requests, Request{in.Model, r.Header.Get("X-Api-Key"), asked, in.MaxTokens})
		if len(s.faults) > 0 {
			fault, s.faults = s.faults[0], s.faults[1:]
		}
	})
	if fault.Status != 0 {
		fail(w, fault)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	speaker := &speaker{w: w, rc: http.NewResponseController(w), fault: fault, done: r.Context().Done()}
	speaker.say(s.model.Answer(r.Context(), asked), in.Model)
	if speaker.err != nil && r.Context().Err() != nil {
		s.note(func() { s.gone++ })
	}
	if speaker.cut {
		panic(http.ErrAbortHandler)
	}
}

// fail answers with an error of the API.
func fail(w http.ResponseWriter, f Fault) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_, _ = w.Write(f.body())
}

func (f Fault) body() []byte {
	kind := f.Type
	if kind == "" {
		kind = "overloaded_error"
	}
	return []byte(`{"type":"error","error":{"type":` + strconv.Quote(kind) + `,"message":"made to fail"}}`)
}
