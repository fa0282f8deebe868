package simulator

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := decodeYAML([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMergeStatus(t *testing.T) {
	for name, test := range map[string]struct{ existing, incoming, want string }{
		"nothing":        {"", "", "{}"},
		"first":          {"", "{a: 1}", "{a: 1}"},
		"keys stay":      {"{a: 1, b: 2}", "{b: 3}", "{a: 1, b: 3}"},
		"shallow":        {"{a: {x: 1, y: [1]}}", "{a: {z: 1}}", "{a: {z: 1}}"},
		"null stays":     {"{a: 1}", "{a: null}", "{a: null}"},
		"nothing to add": {"{a: 1, conditions: [{type: A}]}", "", "{a: 1, conditions: [{type: A}]}"},
		"conditions by type, in their order": {
			"{conditions: [{type: B, status: x}, {type: A, status: x, reason: R}]}",
			"{conditions: [{type: D}, {type: A, status: y}, {type: C}]}",
			"{conditions: [{type: B, status: x}, {type: A, status: y}, {type: D}, {type: C}]}",
		},
		"conditions without type go": {
			"{conditions: [{status: x}, a, {type: 1}]}", "{conditions: [{type: A}]}", "{conditions: [{type: A}]}",
		},
		"conditions for the first time": {"{a: 1}", "{conditions: [{status: x}]}", "{a: 1, conditions: [{status: x}]}"},
		"conditions that are no list":   {"{conditions: [{type: A}]}", "{conditions: {type: B}}", "{conditions: {type: B}}"},
	} {
		t.Run(name, func(t *testing.T) {
			existing := parse(t, test.existing)
			got := mergeStatus(existing, parse(t, test.incoming))
			if want := parse(t, test.want); !reflect.DeepEqual(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			if !reflect.DeepEqual(existing, parse(t, test.existing)) {
				t.Error("the existing status was changed in place")
			}
		})
	}
}

func TestComplete(t *testing.T) {
	t0, t1 := time.Unix(1e9, 0), time.Unix(2e9, 0)
	status := mergeStatus(begin(nil), nil)
	complete(status, t0)
	golden(t, "status-complete.yaml", status)
	again := mergeStatus(begin(status), nil)
	complete(again, t1)
	if !reflect.DeepEqual(again, status) {
		t.Errorf("a run that changes nothing gives %v", again)
	}

	for name, test := range map[string]struct{ existing, incoming, want string }{
		"the pipeline's message":        {"{message: old}", "{message: new}", "new"},
		"a message does not outlive it": {"{message: old}", "{}", "Resource requested"},
		"a pipeline that says Pending":  {"{}", "{message: Pending}", "Resource requested"},
	} {
		t.Run(name, func(t *testing.T) {
			status := mergeStatus(begin(parse(t, test.existing)), parse(t, test.incoming))
			complete(status, t0)
			if status["message"] != test.want {
				t.Errorf("%s: message %q", name, status["message"])
			}
		})
	}

	// The time moves where the status does, and others' conditions stay.
	status = parse(t, "{conditions: [{type: Ready, status: 'True'}, {type: ConfigureWorkflowCompleted, status: 'False', lastTransitionTime: '2000-01-01T00:00:00Z'}]}")
	complete(status, t1)
	want := []any{
		map[string]any{"type": "Ready", "status": "True"},
		map[string]any{"type": "ConfigureWorkflowCompleted", "status": "True", "reason": "PipelinesExecutedSuccessfully",
			"message": "Pipelines completed", "lastTransitionTime": "2033-05-18T03:33:20Z"},
	}
	if !reflect.DeepEqual(status["conditions"], want) {
		t.Errorf("%v, want %v", status["conditions"], want)
	}
}

// What a pipeline asks of Kratix is read as Kratix does, or refused.
func TestReadControl(t *testing.T) {
	if control, err := readControl(nil); err != nil || control.Held() {
		t.Errorf("without a file: %v, %v", control, err)
	}
	for text, want := range map[string]Control{
		"":                               {},
		"message: hello":                 {Message: "hello"},
		"suspend: false":                 {},
		"{suspend: true, message: wait}": {Suspend: true, Message: "wait"},
		"retryAfter: 1h30m":              {RetryAfter: "1h30m"},
		"retryAfter: 0s":                 {RetryAfter: "0s"},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := readControl([]byte(text))
			if err != nil || got != want {
				t.Errorf("%s: %v, %v, want %v", text, got, err, want)
			}
			if got.Held() != (want.Suspend || want.RetryAfter != "") {
				t.Errorf("%s: held %v", text, got.Held())
			}
		})
	}
	for text, want := range map[string]string{
		"retryAfter: soon": `retryAfter "soon" is not a duration`,
		"suspend: perhaps": "is not {suspend, retryAfter, message}",
		"- a":              "is not {suspend, retryAfter, message}",
	} {
		t.Run(text, func(t *testing.T) {
			if _, err := readControl([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", text, err)
			}
		})
	}
}
