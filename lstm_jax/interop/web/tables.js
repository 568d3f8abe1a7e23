// The tables that Python packed: bytes in, typed arrays out.

/** The bytes of a base64 text that holds a zlib stream. */
async function inflate(base64) {
  const binary = atob(base64);
  const packed = new Uint8Array(binary.length);
  for (let n = 0; n < packed.length; n++) packed[n] = binary.charCodeAt(n);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

const ARRAYS = { int8: Int8Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array };

/** Numbers of 16 bits, of which all low bytes stand before all high ones: so they pack tighter. */
function joined(bytes, offset, size) {
  const low = new Uint8Array(bytes, offset, size);
  const high = new Int8Array(bytes, offset + size, size);
  return Int16Array.from(low, (byte, n) => byte | (high[n] << 8));
}

/**
 * Opens every table.
 *
 * A table of rows is {values, scales, step, rows, columns}: row r is values[r] * scales[r] * step.
 * Another is an array, a text is a string.
 */
function openTables(described, bytes) {
  const opened = {};
  const array = ({ kind, offset, size }) =>
    kind === "int16" ? joined(bytes, offset, size) : new ARRAYS[kind](bytes, offset, size);
  for (const [name, each] of Object.entries(described)) {
    if (each.kind === "text") {
      opened[name] = new TextDecoder().decode(new Uint8Array(bytes, each.offset, each.size));
    } else if (each.scales) {
      const [rows, columns] = each.shape;
      const { step } = each;
      opened[name] = { values: array(each), scales: array(each.scales), step, rows, columns };
    } else {
      opened[name] = array(each);
    }
  }
  return opened;
}

/** Adds a row of a table to numbers that begin at a place of an array. */
function addRow(table, row, into, at) {
  const { values, columns } = table;
  const scale = table.scales[row] * table.step;
  for (let n = 0, from = row * columns; n < columns; n++, from++) into[at + n] += values[from] * scale;
}

const upTo = (count, multiple) => Math.ceil(count / multiple) * multiple;

/**
 * A matrix [outputs, inputs] in float32: {values, outputs, inputs}.
 *
 * Filled up with zeros to four outputs and two inputs, which the loops below take at a time.
 */
function matrix(table) {
  const outputs = upTo(table.rows, 4);
  const inputs = upTo(table.columns, 2);
  const values = new Float32Array(outputs * inputs);
  for (let row = 0; row < table.rows; row++) addRow(table, row, values, row * inputs);
  return { values, outputs, inputs };
}

/** into += matrix times vector, which is the product of most of the time that an LSTM takes. */
function multiply(matrix, vector, into) {
  const { values, outputs, inputs } = matrix;
  for (let j = 0; j < outputs; j += 4) {
    const p = j * inputs;
    const q = p + inputs;
    const r = q + inputs;
    const s = r + inputs;
    let a = 0, b = 0, c = 0, d = 0;
    for (let k = 0; k < inputs; k += 2) {
      const x = vector[k];
      const y = vector[k + 1];
      a += x * values[p + k] + y * values[p + k + 1];
      b += x * values[q + k] + y * values[q + k + 1];
      c += x * values[r + k] + y * values[r + k + 1];
      d += x * values[s + k] + y * values[s + k + 1];
    }
    into[j] += a;
    into[j + 1] += b;
    into[j + 2] += c;
    into[j + 3] += d;
  }
}

/**
 * Matrix times each of an even number of vectors [count, inputs]: a new array [count, outputs].
 *
 * Two vectors at a time: each weight is loaded once for both.
 */
function multiplyAll(matrix, vectors, count) {
  const { values, outputs, inputs } = matrix;
  const into = new Float32Array(count * outputs);
  for (let t = 0; t < count; t += 2) {
    const v = t * inputs;
    const w = v + inputs;
    for (let j = 0; j < outputs; j += 4) {
      const p = j * inputs;
      const q = p + inputs;
      const r = q + inputs;
      const s = r + inputs;
      let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
      for (let k = 0; k < inputs; k++) {
        const x = vectors[v + k];
        const y = vectors[w + k];
        let weight = values[p + k];
        a += x * weight;
        e += y * weight;
        weight = values[q + k];
        b += x * weight;
        f += y * weight;
        weight = values[r + k];
        c += x * weight;
        g += y * weight;
        weight = values[s + k];
        d += x * weight;
        h += y * weight;
      }
      const z = t * outputs + j;
      into[z] = a;
      into[z + 1] = b;
      into[z + 2] = c;
      into[z + 3] = d;
      into[z + outputs] = e;
      into[z + outputs + 1] = f;
      into[z + outputs + 2] = g;
      into[z + outputs + 3] = h;
    }
  }
  return into;
}
