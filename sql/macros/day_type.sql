{# `weekend` for Saturday and Sunday, else `weekday`; of an instant the UTC day counts. #}
{% macro day_type(day) -%}
    case when extract(dow from {{ day }}) in (0, 6) then 'weekend' else 'weekday' end
{%- endmacro %}
