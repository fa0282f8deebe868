package promises_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// What kubectl shows is right from the first seconds on and while a run is under way:
// Kratix writes Pending into status.message then, and Baleen's own condition stays.
func TestColumnsOfEachState(t *testing.T) {
	const inProgress, done = "{type: ConfigureWorkflowCompleted, status: 'False', reason: PipelinesInProgress}", "{type: ConfigureWorkflowCompleted, status: 'True', reason: PipelinesExecutedSuccessfully}"
	const ready = "{type: Ready, status: 'True', reason: Delivered, message: all is there, observedGeneration: 2}"
	for _, test := range []struct{ name, status, want string }{
		{"just made", "{}", "READY: REASON: WORKFLOW: GENERATION:3 OBSERVED: MESSAGE:"},
		{"in its first run", "{message: Pending, observedGeneration: 1, conditions: [" + inProgress + "]}", "READY: REASON: WORKFLOW:PipelinesInProgress GENERATION:3 OBSERVED: MESSAGE:"},
		{"in a later run", "{message: Pending, observedGeneration: 3, conditions: [" + ready + ", " + inProgress + "]}",
			"READY:True REASON:Delivered WORKFLOW:PipelinesInProgress GENERATION:3 OBSERVED:2 MESSAGE:all is there"},
		{"after it", "{message: other, conditions: [" + done + ", " + ready + "]}", "READY:True REASON:Delivered WORKFLOW:PipelinesExecutedSuccessfully GENERATION:3 OBSERVED:2 MESSAGE:all is there"},
	} {
		for name, crd := range crds(t) {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				columns := crd.Spec.Versions[0].AdditionalPrinterColumns
				convertor, err := tableconvertor.New(columns)
				if err != nil {
					t.Fatal(err)
				}
				var object unstructured.Unstructured
				if err := yaml.Unmarshal([]byte("{metadata: {name: orders, generation: 3}, status: "+test.status+"}"), &object.Object); err != nil {
					t.Fatal(err)
				}
				table, err := convertor.ConvertToTable(t.Context(), &object, nil)
				if err != nil {
					t.Fatal(err)
				}
				var got, narrow []string
				for i, definition := range table.ColumnDefinitions {
					title, text := strings.ToUpper(definition.Name), ""
					if cell := table.Rows[0].Cells[i]; cell != nil {
						text = fmt.Sprint(cell)
					}
					if slices.Contains([]string{"READY", "REASON", "WORKFLOW", "GENERATION", "OBSERVED", "MESSAGE"}, title) {
						got = append(got, title+":"+text)
					}
					if definition.Priority == 0 {
						narrow = append(narrow, title)
					}
				}
				if strings.Join(got, " ") != test.want {
					t.Errorf("it shows\n%s\nwant\n%s", strings.Join(got, " "), test.want)
				}
				if want := []string{"NAME", "READY", "REASON", "WORKFLOW"}; len(narrow) < 5 || !slices.Equal(narrow[:4], want) || narrow[len(narrow)-1] != "AGE" {
					t.Errorf("without -o wide it shows %v", narrow)
				}
			})
		}
	}
}
