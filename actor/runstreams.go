package actor

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// runStreams is what a run knows of its output streams. The worker puts it into records, while steps and effects write.
type runStreams struct {
	mu         sync.Mutex
	sequencers map[string]*sequencer
	marks      map[string]streamMark
	emits      map[string][]logPlace // what durable records ask for and is not stored yet
	steps      map[string]bool       // in progress; nil: not known
	restored   bool                  // marks are from the log: steps and effects may have written more since
	life       string                // incarnation
}

// streamMark is what a record keeps of a stream, so that it goes on when its last chunk is no longer kept.
type streamMark struct {
	Next    uint64     `json:"next"`              // index of the next chunk
	Pending uint64     `json:"pending,omitempty"` // chunks that run code has emitted up to the record, not stored yet
	Emitted string     `json:"emitted,omitempty"` // as in WriterState
	Open    []OpenStep `json:"open,omitempty"`    // as in WriterState
	Closed  bool       `json:"closed,omitempty"`  // its end is stored
	Ending  bool       `json:"ending,omitempty"`  // run code has closed it
}

func newRunStreams() runStreams {
	return runStreams{sequencers: map[string]*sequencer{}, marks: map[string]streamMark{}, emits: map[string][]logPlace{}}
}

// begin takes up what the last record keeps of the streams; nil for a run that has no record.
func (s *runStreams) begin(rec *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.marks)
	clear(s.emits)
	if s.restored = rec != nil; s.restored {
		maps.Copy(s.marks, rec.Streams)
	}
}

// live says whose streams they are from now on.
func (s *runStreams) live(incarnation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = incarnation
}

func (s *runStreams) incarnation() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// forget discards what is read again when the run is loaded. Until then it is not known which steps are in progress:
// what is stored meanwhile goes on carrying them.
func (s *runStreams) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sequencers)
	s.steps = nil
}

// note keeps how far a stream was written, for the next record.
func (s *runStreams) note(stream string, m streamMark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks[stream] = m
	out := parsePlace(m.Emitted)
	s.emits[stream] = slices.DeleteFunc(s.emits[stream], func(at logPlace) bool { return !out.before(at) })
}

// noteEmit notes that a durable record asks for a chunk.
func (s *runStreams) noteEmit(ev *Event, at logPlace) {
	if ev.Type != Output || ev.End {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if parsePlace(s.marks[ev.Name].Emitted).before(at) {
		s.emits[ev.Name] = append(s.emits[ev.Name], at)
	}
}

// mark returns how far a stream was written; exact is false when it may have been written further.
func (s *runStreams) mark(stream string) (m streamMark, exact bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[stream], !s.restored
}

// noPending settles what was pending with the last record that was read: it is stored by now, or, with again, will be
// emitted again.
func (s *runStreams) noPending(again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, m := range s.marks {
		if !again {
			m.Next += m.Pending
		}
		m.Pending = 0
		s.marks[name] = m
	}
}

// record is what a record of x's journal keeps of the streams.
func (s *runStreams) record(x *execution) map[string]streamMark {
	s.mu.Lock()
	defer s.mu.Unlock()
	marks := maps.Clone(s.marks)
	for name, places := range s.emits {
		m := marks[name]
		m.Pending = uint64(len(places))
		marks[name] = m
	}
	for _, ev := range x.journal.out {
		if ev.Type == Output && !ev.End {
			m := marks[ev.Name]
			m.Pending++
			marks[ev.Name] = m
		}
	}
	for name, ending := range x.closed {
		m := marks[name]
		m.Ending = ending
		marks[name] = m
	}
	return marks
}

// knowSteps says which steps are in progress.
func (s *runStreams) knowSteps(steps map[string]*stepRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = make(map[string]bool, len(steps))
	for id := range steps {
		s.steps[id] = true
	}
}

// noteStep says whether a step is in progress: the stream's messages then carry what it has written.
func (s *runStreams) noteStep(id string, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.steps == nil:
	case open:
		s.steps[id] = true
	default:
		delete(s.steps, id)
	}
}

func (s *runStreams) stepOpen(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.steps == nil || s.steps[id]
}

// logPlace is an event's place in an object's log: the number of its record, and its position there.
type logPlace struct{ record, event uint64 }

func (p logPlace) String() string {
	return strconv.FormatUint(p.record, 10) + "." + strconv.FormatUint(p.event, 10)
}

func (p logPlace) before(q logPlace) bool {
	return p.record < q.record || p.record == q.record && p.event < q.event
}

func parsePlace(s string) logPlace {
	record, event, _ := strings.Cut(s, ".")
	var p logPlace
	p.record, _ = strconv.ParseUint(record, 10, 64)
	p.event, _ = strconv.ParseUint(event, 10, 64)
	return p
}
