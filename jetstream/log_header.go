package jetstream

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/perdure/perdure/actor"
)

const (
	maxTurnLen = 64
	// maxPage bounds what a reader takes from HeaderPage; writers use less.
	maxPage = 256
)

// formatEntry makes the headers of a record.
func formatEntry(e *actor.Entry) nats.Header {
	h := nats.Header{
		HeaderEpoch: {strconv.FormatUint(e.Epoch, 10)},
		HeaderTurn:  {e.Turn},
	}
	if e.Node != "" {
		h[HeaderNode] = []string{e.Node}
	}
	if e.Status != "" {
		h[HeaderStatus] = []string{string(e.Status)}
	}
	if e.Unsettled {
		h[HeaderUnsettled] = []string{"true"}
	}
	if len(e.Index.Page) > 0 {
		page := make([]string, len(e.Index.Page))
		for i, seq := range e.Index.Page {
			page[i] = strconv.FormatUint(seq, 10)
		}
		h[HeaderPage] = []string{strings.Join(page, ",")}
	}
	for name, seq := range map[string]uint64{HeaderPrev: e.Index.Prev, HeaderBase: e.Index.Base, HeaderIDs: e.Index.IDs} {
		if seq > 0 {
			h[name] = []string{strconv.FormatUint(seq, 10)}
		}
	}
	return h
}

// parseEntry reads a message of addr's log. What has not all headers of a record, readable, is foreign.
func parseEntry(addr actor.Address, m *stored) *actor.Entry {
	h := m.Header
	e := &actor.Entry{
		Address: addr, Seq: m.Seq, Time: m.Time, Body: m.Data,
		Turn: h.Get(HeaderTurn), Node: h.Get(HeaderNode), Status: actor.Status(h.Get(HeaderStatus)), Unsettled: h.Get(HeaderUnsettled) == "true",
	}
	ok := e.Turn != "" && len(e.Turn) <= maxTurnLen && h.Get(HeaderEpoch) != ""
	for name, field := range map[string]*uint64{HeaderEpoch: &e.Epoch, HeaderPrev: &e.Index.Prev, HeaderBase: &e.Index.Base, HeaderIDs: &e.Index.IDs} {
		ok = parseSeq(h.Get(name), field) && ok
	}
	var pageOK bool
	e.Index.Page, pageOK = parsePage(h.Get(HeaderPage))
	// An index points backwards; without this a forged one could lead a reader in circles.
	for _, seq := range append([]uint64{e.Index.Prev, e.Index.Base, e.Index.IDs}, e.Index.Page...) {
		ok = ok && seq < max(m.Seq, 1)
	}
	if !ok || !pageOK {
		return foreign(addr, m)
	}
	return e
}

func foreign(addr actor.Address, m *stored) *actor.Entry {
	return &actor.Entry{Address: addr, Seq: m.Seq, Time: m.Time, Foreign: true}
}

func parseSeq(s string, to *uint64) (ok bool) {
	if s == "" {
		return true
	}
	var err error
	*to, err = strconv.ParseUint(s, 10, 64)
	return err == nil
}

func parsePage(s string) ([]uint64, bool) {
	if s == "" {
		return nil, true
	}
	parts := strings.Split(s, ",")
	if len(parts) > maxPage {
		return nil, false
	}
	page := make([]uint64, len(parts))
	for i, p := range parts {
		if p == "" || !parseSeq(p, &page[i]) || (i > 0 && page[i] <= page[i-1]) {
			return nil, false
		}
	}
	return page, true
}
