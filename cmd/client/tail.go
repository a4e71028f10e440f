package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/perdure/perdure/actor"
)

type tailVerb struct {
	Object object `arg:"" name:"TYPE/KEY" help:"The object."`
	Stream string `arg:"" optional:"" default:"default" name:"STREAM" help:"The stream."`
	Follow bool   `short:"f" help:"Go on with what is written from now on, until the stream is closed."`
	From   int64  `placeholder:"N|-N" help:"First index, or with a minus sign how many of the last chunks. Default: 0."`
}

// Run prints a chunk a line, as JSON. What was rewound stays on the paper: a line says from where it is written anew.
func (v *tailVerb) Run(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(s.timeout, func() {
		cancel(actor.Errorf(actor.CodeTimeout, "nothing came for %v", s.timeout))
	})
	defer idle.Stop()
	if v.Follow {
		idle.Stop()
	}
	for c, err := range s.client.Chunks(ctx, v.Object.Address, v.Stream, v.From, v.Follow) {
		if v.Follow && errors.Is(err, context.Canceled) {
			return nil // interrupted: that is how following ends
		}
		if errors.Is(err, actor.ErrInvalid) {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		if err != nil {
			return err
		}
		idle.Stop() // the terminal may take its time
		if err := s.printChunk(c); err != nil {
			return err
		}
		if !v.Follow {
			idle.Reset(s.timeout)
		}
	}
	return nil
}

func (s *session) printChunk(c *actor.Chunk) error {
	type line struct {
		Index  *uint64         `json:"index,omitempty"`
		Data   json.RawMessage `json:"data,omitempty"`
		Rewind *uint64         `json:"rewind,omitempty"`
		End    *uint64         `json:"end,omitempty"`
	}
	switch {
	case s.json && c.Kind == actor.ChunkRewind:
		return s.printJSON(line{Rewind: &c.Index})
	case s.json && c.Kind == actor.ChunkEnd:
		return s.printJSON(line{End: &c.Index})
	case s.json:
		return s.printJSON(line{Index: &c.Index, Data: c.Data})
	case c.Kind == actor.ChunkRewind:
		return s.printf("%s\n", s.dim(fmt.Sprintf("-- rewound to %d", c.Index)))
	case c.Kind == actor.ChunkEnd:
		return nil
	}
	var text bytes.Buffer
	if err := json.Compact(&text, c.Data); err != nil {
		return fmt.Errorf("read chunk %d: %w", c.Index, err)
	}
	return s.printf("%s\n", text.Bytes())
}

// dim makes text recede, where stdout is a terminal.
func (s *session) dim(text string) string {
	file, ok := s.stdout.(*os.File)
	if !ok {
		return text
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}
