package jetstream

import (
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/micro"

	"github.com/perdure/perdure/actor"
)

// service is this node as `nats micro` sees it. The front answers with the message types of package micro, and
// not with its services, because those publish to whatever reply subject a request names.
type service struct {
	identity micro.ServiceIdentity
	started  time.Time
	endpoint micro.EndpointInfo

	mu    sync.Mutex
	stats micro.EndpointStats
}

const serviceName = "perdure"

func newService(cfg FrontConfig) *service {
	s := &service{
		identity: micro.ServiceIdentity{
			Name: serviceName, ID: uuid.NewString(), Version: cfg.Version,
			Metadata: map[string]string{"node": cfg.Node},
		},
		started:  time.Now().UTC(),
		endpoint: micro.EndpointInfo{Name: "call", Subject: cfg.Names.CallAll(), QueueGroup: frontQueue, Metadata: map[string]string{}},
	}
	if s.identity.Version == "" {
		s.identity.Version = "0.0.0"
	}
	if p := cfg.Names.Prefix(); p != "" {
		s.identity.Metadata["prefix"] = p
	}
	s.stats = micro.EndpointStats{Name: s.endpoint.Name, Subject: s.endpoint.Subject, QueueGroup: s.endpoint.QueueGroup}
	return s
}

// serviceVerb is one thing that can be asked of a service, on any of the subjects.
type serviceVerb struct {
	subjects []string
	answer   func() []byte
}

func (s *service) verbs() []serviceVerb {
	return []serviceVerb{
		{s.subjects(micro.PingVerb), encoded(func() any { return micro.Ping{ServiceIdentity: s.identity, Type: micro.PingResponseType} })},
		{s.subjects(micro.InfoVerb), encoded(s.info)},
		{s.subjects(micro.StatsVerb), encoded(s.read)},
	}
}

// subjects are those of all services, of all of this name, and of this one.
func (s *service) subjects(v micro.Verb) []string {
	all := micro.APIPrefix + "." + v.String()
	return []string{all, all + "." + s.identity.Name, all + "." + s.identity.Name + "." + s.identity.ID}
}

func encoded(v func() any) func() []byte {
	return func() []byte {
		b, err := json.Marshal(v())
		if err != nil {
			return nil
		}
		return b
	}
}

func (s *service) info() any {
	return micro.Info{
		ServiceIdentity: s.identity, Type: micro.InfoResponseType, Description: "durable objects",
		Endpoints: []micro.EndpointInfo{s.endpoint},
	}
}

func (s *service) read() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.stats
	if e.NumRequests > 0 {
		e.AverageProcessingTime = e.ProcessingTime / time.Duration(e.NumRequests)
	}
	id := s.identity
	id.Metadata = maps.Clone(id.Metadata)
	return micro.Stats{ServiceIdentity: id, Type: micro.StatsResponseType, Started: s.started, Endpoints: []*micro.EndpointStats{&e}}
}

// count adds one call with its outcome. User code's failures are no errors of the service.
func (s *service) count(took time.Duration, err *actor.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.NumRequests++
	s.stats.ProcessingTime += took
	if err != nil && err.Source == actor.SourceRuntime {
		s.stats.NumErrors++
		s.stats.LastError = err.Error()
	}
}
