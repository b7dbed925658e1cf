// A loss with its gradient, an error that is handled, an evaluation with a gate, and tensors as bytes: fetch and nothing else.
//
//     node docs/examples/languages/first_requests.mjs http://127.0.0.1:8000

const url = process.argv[2] ?? "http://127.0.0.1:8000";

/** What the service refuses; `errors` says where, each with pointer, message and index. */
class Problem extends Error {
  constructor(members) {
    super(members.detail);
    Object.assign(this, members);
  }
}

async function send(path, body, type) {
  const headers = { "Content-Type": type, Accept: type };
  const answer = await fetch(url + path, { method: "POST", headers, body });
  if (!answer.ok) throw new Problem(await answer.json());
  return answer;
}

async function post(path, fields) {
  return (await send(path, JSON.stringify(fields), "application/json")).json();
}

const rounded = (numbers) => Array.from(numbers, (number) => number.toFixed(4)).join(" ");

// A loss and its gradient.
const found = await post("/v1/losses/cross_entropy", {
  predictions: [[2.0, -1.0, 0.3]],
  labels: [0],
  gradients: ["predictions"],
});
console.log("loss", rounded([found.value]));
console.log("gradient", rounded(found.gradients.predictions.data));

// A label that is no class.
try {
  await post("/v1/losses/cross_entropy", { predictions: [[2.0, -1.0, 0.3]], labels: [7] });
} catch (problem) {
  if (!(problem instanceof Problem)) throw problem;
  for (const { pointer, message } of problem.errors) console.log("refused", `${pointer}:`, message);
}

// Large tensors as bytes: a safetensors file is the length of its header, a header in JSON, and the bytes.
function safetensors(tensors, request) {
  const header = { __metadata__: { request: JSON.stringify(request) } };
  let end = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, (end += data.byteLength)] };
  }
  const text = JSON.stringify(header);
  const json = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8)); // so that the bytes are aligned
  const file = new Uint8Array(8 + json.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  for (const [name, { data }] of Object.entries(tensors)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    file.set(bytes, 8 + json.length + header[name].data_offsets[0]);
  }
  return file;
}

function opened(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensor = (name) => {
    const [from, to] = header[name].data_offsets;
    return new Float32Array(buffer.slice(8 + length + from, 8 + length + to));
  };
  return { response: JSON.parse(header.__metadata__.response), tensor };
}

const file = safetensors(
  {
    labels: { dtype: "I64", shape: [1], data: new BigInt64Array([0n]) },
    predictions: { dtype: "F32", shape: [1, 3], data: new Float32Array([2.0, -1.0, 0.3]) },
  },
  { gradients: ["predictions"] },
);
const answer = await send("/v1/losses/cross_entropy", file, "application/vnd.safetensors");
const { response, tensor } = opened(await answer.arrayBuffer());
console.log("as bytes", rounded([response.value]), "gradient", rounded(tensor("gradients.predictions")));

// An evaluation with a gate.
const report = await post("/v1/evaluate", {
  task: "multiclass",
  predictions_are: "logits",
  predictions: [[2.0, -1.0, 0.3], [0.1, 1.5, -0.4], [-0.5, 0.2, 1.1], [1.2, 0.9, -1.0]],
  labels: [0, 1, 2, 1],
  metrics: [{ metric: "accuracy" }],
  gates: [{ metric: "accuracy", minimum: 0.7 }],
});
const [accuracy] = report.metrics;
console.log("accuracy", rounded([accuracy.value]), report.passed ? "passed" : "failed");
process.exitCode = report.passed ? 0 : 1;
