import assert from 'node:assert/strict'
import { test } from 'node:test'
import { csvText, tableText } from '../../../src/cli/table.ts'

test('columns are as wide as their widest cell', () => {
  assert.equal(tableText([{ title: 'key', isRight: true }, { title: 'label' }], [['1', 'phone'], ['1000', '']]), [
    ' key  label',
    '----  -----',
    '   1  phone',
    '1000',
    ''
  ].join('\n'))
})

test('CSV quotes what must be quoted, and no cell is a formula', () => {
  assert.equal(csvText(['a', 'b'], [['x,y', 'say "hi"'], ['=1+1', '-1.5'], ['@cmd', '-x']]), 'a,b\r\n"x,y","say ""hi"""\r\n\'=1+1,-1.5\r\n\'@cmd,\'-x\r\n')
})
