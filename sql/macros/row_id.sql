{# A uuid for a row of a file: 16 digits of the file's content hash, then the row number. Rows of a
   file follow each other in an index. #}
{% macro row_id(file, row_number) -%}
    arrow_cast(
            decode(left({{ file }}, 16) || lpad(to_hex({{ row_number }}), 16, '0'), 'hex'),
            'FixedSizeBinary(16)'
        )
{%- endmacro %}
